// What follows gate and up where adapters add to them: out (rows, OUT_STRIDE) = act(gate) * up. x (rows, X_STRIDE) holds the sums
// of the weight's parts as they lie one after the other, PART columns each: gates, then as many ups.
#import step
#import features/lora

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  let row = id.y;
  if (row >= step.rows || i >= WIDTH + WIDTH % 2u) {
    return;
  }
  // Past the last output is padding, which others read as zeros.
  var value = 0.0;
  if (i < WIDTH) {
    let first = 2u * i / PART * PART;
    let share = min(PART, 2u * WIDTH - first) / 2u;
    let at = row * X_STRIDE + first / 2u + i;
    let gate = x[at] + lora(row, 0u, i);
    let up = x[at + share] + lora(row, 1u, i);
    value = activated(gate) * up;
  }
  out[row * OUT_STRIDE + i] = value;
}

fn activated(gate: f32) -> f32 {
  var inner = gate;
  if (GELU) {
    // As in out_swiglu.wgsl.
    inner = 1.5957691216 * (gate + 0.044715 * gate * gate * gate);
  }
  return gate / (1.0 + exp(-inner));
}
