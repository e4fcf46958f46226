// Reads four rows of x: every thread for itself.
#import four
#import x_unit

fn x_lane() -> u32 {
  return 0u;
}

fn x_rows(at: vec4<u32>, u: u32, lane: u32) -> Four {
  var four = Four();
  four.u0 = x_unit(at.x + UNIT4 * u);
  if (TOKENS > 1u) {
    four.u1 = x_unit(at.y + UNIT4 * u);
    four.u2 = x_unit(at.z + UNIT4 * u);
    four.u3 = x_unit(at.w + UNIT4 * u);
  }
  return four;
}
