// Adds the rows' products to sums (2, STRIDE, STRIDE), high and low parts: z z' (its lower triangle), or a z' with OF_A.
// A workgroup takes 32 by 32 of them and a thread 4 by 4, in registers over all rows: each value read takes part in so much
// arithmetic that there is nothing to gain from workgroup memory.
#import activation_pair

// How far behind its high part the low part of a sum is.
const LOW = 4u * STRIDE4 * STRIDE4;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  if (!OF_A && wid.x > wid.y) {
    return;
  }
  let i = wid.y * 8u + lid / 8u;
  let j = wid.x * 8u + lid % 8u;
  let at = 4u * i * STRIDE4 + j;
  var s0 = read_sum(at);
  var s1 = read_sum(at + STRIDE4);
  var s2 = read_sum(at + 2u * STRIDE4);
  var s3 = read_sum(at + 3u * STRIDE4);
  for (var row = 0u; row < step.rows; row++) {
    var value: vec4f;
    if (OF_A) {
      value = a_of(row, i);
    } else {
      value = z_of(row, i);
    }
    let l = split(value);
    let r = split(z_of(row, j));
    s0 = add(s0, product(Split(l.whole.xxxx, l.high.xxxx, l.low.xxxx), r));
    s1 = add(s1, product(Split(l.whole.yyyy, l.high.yyyy, l.low.yyyy), r));
    s2 = add(s2, product(Split(l.whole.zzzz, l.high.zzzz, l.low.zzzz), r));
    s3 = add(s3, product(Split(l.whole.wwww, l.high.wwww, l.low.wwww), r));
  }
  write_sum(at, s0);
  write_sum(at + STRIDE4, s1);
  write_sum(at + 2u * STRIDE4, s2);
  write_sum(at + 3u * STRIDE4, s3);
}
