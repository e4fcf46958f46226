// Short causal convolution, each channel by itself: x (rows, 3 K) are b, c and y. WRITE: b * y goes to its position in what the
// block has seen, a ring of CAPACITY positions. READ: out (rows, K) = c * (bias + sum over TAPS of tap * b * y), the last tap for
// the row's own position. Rows of one sequence see each other's b * y: all is written before it is read, in a launch before, but
// where there is one row alone.
#import step

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let channel = id.x;
  let row = id.y;
  if (channel >= K || row >= step.rows) {
    return;
  }
  let at = rows[row];
  if (at.position >= CONTEXT) {
    return;
  }
  let begin = row * X_STRIDE + channel;
  let own = x[begin] * x[begin + 2u * K];
  let ring = at.sequence * CAPACITY * SEEN_STRIDE + channel;
  if (WRITE) {
    seen[ring + (at.position % CAPACITY) * SEEN_STRIDE] = own;
  }
  if (READ) {
    var sum = vectors[(TAPS - 1u) * K + channel] * own;
    if (BIAS) {
      sum += vectors[TAPS * K + channel];
    }
    for (var back = 1u; back < min(TAPS, at.position + 1u); back++) {
      sum += vectors[(TAPS - 1u - back) * K + channel] * seen[ring + ((at.position - back) % CAPACITY) * SEEN_STRIDE];
    }
    out[row * OUT_STRIDE + channel] = x[begin + K] * sum;
  }
}
