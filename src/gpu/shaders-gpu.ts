/** What GPUs run, and software adapters do not. */
export default import.meta.glob<string>('../../shaders/{gpu,shared/gpu}/*.wgsl', {
  query: '?raw',
  import: 'default',
  eager: true,
});
