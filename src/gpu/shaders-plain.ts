/** What software adapters run, and GPUs where their own kernels fail, or prove slower. */
export default import.meta.glob<string>('../../shaders/{plain,shared/plain}/*.wgsl', {
  query: '?raw',
  import: 'default',
  eager: true,
});
