// Adds what adapters add to a projection: out (rows, OUT_STRIDE) += B (A x) of each row's adapter. The columns are those of up to
// three matrices, the second and third of which begin at SECOND and THIRD.
#import step
#import features/lora

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  let row = id.y;
  if (row >= step.rows || column >= N) {
    return;
  }
  var matrix = 0u;
  var first = 0u;
  if (column >= THIRD) {
    matrix = 2u;
    first = THIRD;
  } else if (column >= SECOND) {
    matrix = 1u;
    first = SECOND;
  }
  out[row * OUT_STRIDE + column] += lora(row, matrix, column - first);
}
