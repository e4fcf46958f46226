// Penalties, bias and mask: adjusted logits (rows, VOCAB), the model's own stay. Order: repetition (positive / p, negative * p), frequency and
// presence over the reply, bias, then tokens that the mask forbids.
#import step
#import sampling

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let row = next_rows[step.next + id.y];
  let sequence = row.sequence;
  let sampler = samplers[step.next + id.y];
  for (var i = id.x; i < VOCAB; i += grid.x * WG) {
    let at = id.y * STRIDE4 * 4u + i;
    let to = sequence * VOCAB + i;
    var count = counts[to];
    // The token chosen last is counted here; before the first choice the row holds no token of the vocabulary.
    if (row.token == i) {
      count += 2u;
      counts[to] = count;
    }
    var z = logits[at];
    if (count > 0u) {
      z = select(z * sampler.repetition, z / sampler.repetition, z > 0.0);
    }
    let times = f32(count / 2u);
    z -= times * sampler.frequency + min(times, 1.0) * sampler.presence;
    if (HAS_BIAS) {
      z += bias[to];
    }
    if (HAS_MASK && (mask[sequence * MASK_WORDS + i / 32u] & (1u << (i % 32u))) == 0u) {
      z = -3.0e38;
    }
    adjusted[at] = z;
  }
}
