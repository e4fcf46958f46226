// Backward of gather: each token's row of the table gets the sum of its rows of dy, in their order. runs: (token, first, count)
// of a place in `order`, which lists the rows; behind the last are those with no rows.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let run = 3u * id.y;
  let first = runs[run + 1u];
  let count = runs[run + 2u];
  if (id.x >= K || count == 0u) {
    return;
  }
  let at = runs[run] * K + id.x;
  var sum = out[at];
  for (var i = 0u; i < count; i++) {
    sum += dy[order[first + i] * K + id.x];
  }
  out[at] = sum;
}
