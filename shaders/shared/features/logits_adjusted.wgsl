// Logits after penalties, bias and mask, which are also written, in the order of adjust.wgsl. The token chosen last is counted here;
// before the first choice the row holds no token of the vocabulary.
#import sampling

fn four_logits(row: u32, quad: u32) -> vec4f {
  let z = logits[row * STRIDE4 + quad];
  let next = next_rows[step.next + row];
  let sampler = samplers[step.next + row];
  let first = 4u * quad;
  let token = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
  // Padding of the row has the last token's.
  let at = vec4<u32>(next.sequence * VOCAB) + min(token, vec4<u32>(VOCAB - 1u));
  var count = vec4<u32>(counts[at.x], counts[at.y], counts[at.z], counts[at.w]);
  var biases = vec4f();
  if (HAS_BIAS) {
    biases = vec4f(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
  }
  var allowed = vec4<u32>(1u);
  if (HAS_MASK) {
    // A word has eight fours.
    let word = mask[next.sequence * MASK_WORDS + first / 32u] >> (first % 32u);
    allowed = (vec4<u32>(word) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u);
  }
  let chosen = token == vec4<u32>(next.token);
  count += select(vec4<u32>(), vec4<u32>(2u), chosen);
  if (next.token < VOCAB && any(chosen)) {
    let one = select(vec4<u32>(), count, chosen);
    counts[next.sequence * VOCAB + next.token] = one.x + one.y + one.z + one.w;
  }
  let repeated = select(z * sampler.repetition, z / sampler.repetition, z > vec4f());
  let times = vec4f(count / 2u);
  let out = select(z, repeated, count > vec4<u32>()) - (times * sampler.frequency + min(times, vec4f(1.0)) * sampler.presence);
  let kept = select(vec4f(-3.0e38), out + biases, allowed == vec4<u32>(1u));
  adjusted[row * STRIDE4 + quad] = kept;
  return kept;
}
