// PCG of 32 bits (O'Neill 2014): a well mixed hash of a counter.
fn hash(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

// Of 0 to 1. The position makes each draw new; the seed is hashed first, lest the next seed draw the same a step later.
fn drawn(seed: u32, row: Row) -> f32 {
  let draw = hash(hash(hash(seed) + row.position) ^ row.reply);
  return f32(draw >> 8u) / 16777216.0;
}
