// Penalties, bias and mask: adjusted logits (rows, VOCAB), the model's own stay.
#import step
#import sampling
#import adjusted

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let row = next_rows[step.next + id.y];
  let sampler = samplers[step.next + id.y];
  for (var i = id.x; i < VOCAB; i += grid.x * WG) {
    let at = id.y * STRIDE4 * 4u + i;
    adjusted[at] = adjusted_logit(logits[at], i, row, sampler);
  }
}
