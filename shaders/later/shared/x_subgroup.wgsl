// requires: subgroups
enable subgroups;
// One lane a row is all that makes `u` differ between threads: it does not.
diagnostic(off, subgroup_uniformity);

// Reads four rows of x, one for each of four neighbours of a subgroup of 4 or more, who tell one another: a CPU that plays GPU
// loads for each thread, though all threads of a workgroup want the same.
#import four

fn x_lane() -> u32 {
  return subgroupExclusiveAdd(1u);
}

fn x_rows(at: vec4<u32>, u: u32, lane: u32) -> Four {
  let own = at[lane % 4u] + 2u * u;
  let a = x[own];
  let b = x[own + 1u];
  return Four(
    subgroupBroadcast(a, 0u),
    subgroupBroadcast(b, 0u),
    subgroupBroadcast(a, 1u),
    subgroupBroadcast(b, 1u),
    subgroupBroadcast(a, 2u),
    subgroupBroadcast(b, 2u),
    subgroupBroadcast(a, 3u),
    subgroupBroadcast(b, 3u),
  );
}
