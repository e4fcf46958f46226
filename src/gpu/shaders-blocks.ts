/** Readers of weights in blocks, and of bf16: q8, q4 and the types of GGUF files. */
export default import.meta.glob<string>('../../shaders/shared/blocks/*.wgsl', {
  query: '?raw',
  import: 'default',
  eager: true,
});
