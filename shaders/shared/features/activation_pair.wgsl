// What calibration adds up, and to what: z (rows, STRIDE) of each row, and a = after - before (positions, A_STRIDE), both of these by
// the row's position. Each sum is a pair, its low part so far behind the high one as is said.
#import step
#import features/double

fn z_of(row: u32, unit: u32) -> vec4f {
  return z[row * STRIDE4 + unit];
}

fn a_of(row: u32, unit: u32) -> vec4f {
  let at = rows[row].position * A_STRIDE4 + unit;
  return keep(after[at] - before[at]);
}

fn read_sum(at: u32, low: u32) -> Double {
  return Double(sums[at], sums[at + low]);
}

fn write_sum(at: u32, low: u32, sum: Double) {
  let ordered = two_sum(sum.hi, sum.lo);
  sums[at] = ordered.hi;
  sums[at + low] = ordered.lo;
}
