// What calibration adds up, and to what: z (rows, K) of each row, and a = after - before, both of these by the row's position.
// Each sum is a pair, its low part LOW behind the high one; the shader that imports this declares LOW.
#import step
#import features/double

fn z_of(row: u32, unit: u32) -> vec4f {
  return z[row * STRIDE4 + unit];
}

fn a_of(row: u32, unit: u32) -> vec4f {
  let at = rows[row].position * STRIDE4 + unit;
  return keep(after[at] - before[at]);
}

fn read_sum(at: u32) -> Double {
  return Double(sums[at], sums[at + LOW]);
}

fn write_sum(at: u32, sum: Double) {
  let ordered = two_sum(sum.hi, sum.lo);
  sums[at] = ordered.hi;
  sums[at + LOW] = ordered.lo;
}
