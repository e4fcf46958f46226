// Reads four rows of x: every thread for itself.
#import four

fn x_lane() -> u32 {
  return 0u;
}

fn x_rows(at: vec4<u32>, u: u32, lane: u32) -> Four {
  var four = Four();
  four.a0 = x[at.x + 2u * u];
  four.b0 = x[at.x + 2u * u + 1u];
  if (TOKENS > 1u) {
    four.a1 = x[at.y + 2u * u];
    four.b1 = x[at.y + 2u * u + 1u];
    four.a2 = x[at.z + 2u * u];
    four.b2 = x[at.z + 2u * u + 1u];
    four.a3 = x[at.w + 2u * u];
    four.b3 = x[at.w + 2u * u + 1u];
  }
  return four;
}
