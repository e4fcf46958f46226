// Penalties, bias and mask: adjusted logits (rows, VOCAB), the model's own stay. Order: repetition (positive / p, negative * p), frequency and
// presence over the reply, bias, then tokens that the mask forbids.
#import step
#import sampling

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(7) var<storage, read_write> adjusted: array<f32>;
// (sequences, VOCAB): twice the times that a token is in the reply, plus one if it is in the prompt.
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
// (sequences, VOCAB); empty unless HAS_BIAS.
@group(0) @binding(2) var<storage, read> bias: array<f32>;
// (sequences, MASK_WORDS): bit set for a token that may be chosen; empty unless HAS_MASK.
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read> samplers: array<Sampler>;
@group(0) @binding(5) var<storage, read> next_rows: array<Row>;
@group(0) @binding(6) var<uniform> step: Step;

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
