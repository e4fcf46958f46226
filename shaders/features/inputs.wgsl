// Inputs of a linear map of the last few positions: out (rows, INPUTS * K) is z (rows, K) of each row, then that of the position
// before it, and so on; zeros before the first position. WRITE: z goes to its position in what the block has seen, a ring of CAPACITY
// positions. READ: out is made. Rows of one sequence see each other's z: all is written before it is read, in a launch before, but
// where there is one row alone.
#import step

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  let row = id.y;
  if (column >= K || row >= step.rows) {
    return;
  }
  let at = rows[row];
  if (at.position >= CONTEXT) {
    return;
  }
  let own = z[row * Z_STRIDE + column];
  let ring = at.sequence * CAPACITY * SEEN_STRIDE + column;
  if (WRITE) {
    seen[ring + (at.position % CAPACITY) * SEEN_STRIDE] = own;
  }
  if (READ) {
    let begin = row * OUT_STRIDE + column;
    out[begin] = own;
    for (var back = 1u; back < INPUTS; back++) {
      var value = 0.0;
      if (back <= at.position) {
        value = seen[ring + ((at.position - back) % CAPACITY) * SEEN_STRIDE];
      }
      out[begin + back * K] = value;
    }
  }
}
