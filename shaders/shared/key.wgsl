// Order-preserving map of floats to unsigned integers, and back; both zeros are one.
fn key_of(z: f32) -> u32 {
  let bits = select(bitcast<u32>(z), 0u, z == 0.0);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u));
}
