// Adds the rows to sums (3, 2, STRIDE), high and low parts: of z, of a, and of a^2. The first position with a value that cannot
// be reckoned with is noted. A thread takes four columns over all rows.
#import features/activation_pair

const LOW = STRIDE4;

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
  var z_sum = read_sum(i);
  var a_sum = read_sum(i + 2u * STRIDE4);
  var square_sum = read_sum(i + 4u * STRIDE4);
  for (var row = 0u; row < MOST_ROWS; row++) {
    if (row >= step.rows) {
      break;
    }
    let z_value = z_of(row, i);
    let a_value = a_of(row, i);
    if (is_odd(z_value) || is_odd(a_value)) {
      atomicMax(&odd, ~rows[row].position);
    }
    z_sum = add(z_sum, Double(z_value, vec4f()));
    a_sum = add(a_sum, Double(a_value, vec4f()));
    let a = split(a_value);
    square_sum = add(square_sum, product(a, a));
  }
  write_sum(i, z_sum);
  write_sum(i + 2u * STRIDE4, a_sum);
  write_sum(i + 4u * STRIDE4, square_sum);
}
