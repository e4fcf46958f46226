/** What few models and calls ask for: convolutions, adapters, log-probabilities, pooled states, conversion. */
export default import.meta.glob<string>('../../shaders/{features,shared/features}/*.wgsl', {
  query: '?raw',
  import: 'default',
  eager: true,
});
