// requires: subgroups
enable subgroups;

// Reads four rows of x, one for each of four neighbours of a subgroup of 4 or more, who tell one another: a CPU that plays GPU
// loads for each thread, though all threads of a workgroup want the same.
#import four
#import x_unit

fn x_lane() -> u32 {
  return subgroupExclusiveAdd(1u);
}

fn x_rows(at: vec4<u32>, u: u32, lane: u32) -> Four {
  let own = x_unit(at[lane % 4u] + UNIT4 * u);
  var four = Four();
  four.u0.a = subgroupBroadcast(own.a, 0u);
  four.u1.a = subgroupBroadcast(own.a, 1u);
  four.u2.a = subgroupBroadcast(own.a, 2u);
  four.u3.a = subgroupBroadcast(own.a, 3u);
  if (UNIT4 > 1u) {
    four.u0.b = subgroupBroadcast(own.b, 0u);
    four.u1.b = subgroupBroadcast(own.b, 1u);
    four.u2.b = subgroupBroadcast(own.b, 2u);
    four.u3.b = subgroupBroadcast(own.b, 3u);
  }
  return four;
}
