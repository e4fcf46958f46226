// Adds the rows' products to sums, high and low parts: z z' (2, STRIDE, STRIDE), its lower triangle, or a z' (2, A_STRIDE, STRIDE)
// with OF_A.
// A workgroup takes 16 by 32 of them and a thread 2 by 4, in registers over all rows: each value read takes part in so much
// arithmetic that there is nothing to gain from workgroup memory.
#import features/activation_pair

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  if (!OF_A && wid.x > wid.y / 2u) {
    return;
  }
  // How far behind its high part the low part of a sum is.
  let low = 4u * STRIDE4 * select(STRIDE4, A_STRIDE4, OF_A);
  let i = wid.y * 8u + lid / 8u;
  let j = wid.x * 8u + lid % 8u;
  let at = 2u * i * STRIDE4 + j;
  var s0 = read_sum(at, low);
  var s1 = read_sum(at + STRIDE4, low);
  for (var row = 0u; row < MOST_ROWS; row++) {
    if (row >= step.rows) {
      break;
    }
    var four: vec4f;
    if (OF_A) {
      four = a_of(row, i / 2u);
    } else {
      four = z_of(row, i / 2u);
    }
    let two = select(four.xy, four.zw, i % 2u == 1u);
    let l = split(two.xyxy);
    let r = split(z_of(row, j));
    s0 = add(s0, product(Split(l.whole.xxxx, l.high.xxxx, l.low.xxxx), r));
    s1 = add(s1, product(Split(l.whole.yyyy, l.high.yyyy, l.low.yyyy), r));
  }
  write_sum(at, low, s0);
  write_sum(at + STRIDE4, low, s1);
}
