// Adds the rows to sums, high and low parts: of z (2, STRIDE), then of a and of a^2 (2, A_STRIDE). The first position with a value
// that cannot be reckoned with is noted. A thread takes four columns over all rows; of a there are no more than of z.
#import features/activation_pair

// 2^50: far below where squares and their sums overflow.
const LIMIT = 0x58800000u;

// Whether one is NaN, infinite or beyond LIMIT; by their bits, for compilers may take it that none is.
fn is_odd(value: vec4f) -> bool {
  return any((bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) > vec4<u32>(LIMIT));
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i >= STRIDE4) {
    return;
  }
  let of_a = i < A_STRIDE4;
  let a_at = 2u * STRIDE4 + i;
  let square_at = a_at + 2u * A_STRIDE4;
  var z_sum = read_sum(i, STRIDE4);
  var a_sum = Double(vec4f(), vec4f());
  var square_sum = Double(vec4f(), vec4f());
  if (of_a) {
    a_sum = read_sum(a_at, A_STRIDE4);
    square_sum = read_sum(square_at, A_STRIDE4);
  }
  for (var row = 0u; row < MOST_ROWS; row++) {
    if (row >= step.rows) {
      break;
    }
    let z_value = z_of(row, i);
    var a_value = vec4f();
    if (of_a) {
      a_value = a_of(row, i);
    }
    if (is_odd(z_value) || is_odd(a_value)) {
      atomicMax(&odd, ~rows[row].position);
    }
    z_sum = add(z_sum, Double(z_value, vec4f()));
    a_sum = add(a_sum, Double(a_value, vec4f()));
    let a = split(a_value);
    square_sum = add(square_sum, product(a, a));
  }
  write_sum(i, STRIDE4, z_sum);
  if (of_a) {
    write_sum(a_at, A_STRIDE4, a_sum);
    write_sum(square_at, A_STRIDE4, square_sum);
  }
}
