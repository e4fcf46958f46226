// Sums to about 2^-42 of what is added up: a pair of f32 stands for their sum. The shader that imports this declares `step`.
struct Double {
  hi: vec4f,
  lo: vec4f,
}

// An f32 in two halves of 12 bits: products of halves are exact, fused with an addition or not.
struct Split {
  whole: vec4f,
  high: vec4f,
  low: vec4f,
}

// The value itself. Some compilers (Metal's fast math) reorder f32 sums as if they were exact, and find that a sum's rounding
// error is always 0. They cannot look through this: no step has 2^31 rows, but they do not know.
fn keep(value: vec4f) -> vec4f {
  return bitcast<vec4f>(bitcast<vec4<u32>>(value) ^ vec4<u32>(step.rows >> 31u));
}

fn split(value: vec4f) -> Split {
  let high = bitcast<vec4f>(bitcast<vec4<u32>>(value) & vec4<u32>(0xfffff000u));
  return Split(value, high, keep(value - high));
}

// a + b and its rounding error (Dekker 1971: exact when the larger of the two comes first).
fn two_sum(a: vec4f, b: vec4f) -> Double {
  let swap = abs(b) > abs(a);
  let large = select(a, b, swap);
  let small = select(b, a, swap);
  let sum = keep(large + small);
  return Double(sum, small - keep(sum - large));
}

// The low halves are added up as they are: `two_sum(hi, lo)` brings the pair in order now and then.
fn add(sum: Double, value: Double) -> Double {
  let next = two_sum(sum.hi, value.hi);
  return Double(next.hi, sum.lo + (next.lo + value.lo));
}

// a * b and its rounding error (Dekker 1971): every step but the first is exact.
fn product(a: Split, b: Split) -> Double {
  let hi = keep(a.whole * b.whole);
  var lo = keep(a.high * b.high - hi);
  lo = keep(lo + a.high * b.low);
  lo = keep(lo + a.low * b.high);
  return Double(hi, lo + a.low * b.low);
}
