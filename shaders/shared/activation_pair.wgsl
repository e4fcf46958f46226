// What calibration adds up, and to what: z (rows, K) of each row, and a = after - before, both of these by the row's position.
// Each sum is a pair, its low part LOW behind the high one; the shader that imports this declares LOW.
#import step
#import double

@group(0) @binding(0) var<storage, read> z: array<vec4f>;
@group(0) @binding(1) var<storage, read> before: array<vec4f>;
@group(0) @binding(2) var<storage, read> after: array<vec4f>;
@group(0) @binding(3) var<storage, read> rows: array<Row>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(6) var<uniform> step: Step;

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
