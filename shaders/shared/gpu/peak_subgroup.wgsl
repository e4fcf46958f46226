// requires: subgroups
enable subgroups;

// Of a subgroup, whatever its size and whichever threads are in it, one thread tells the largest.
fn peak_here(value: f32) -> f32 {
  return subgroupMax(value);
}

fn tells_peak() -> bool {
  return subgroupExclusiveAdd(1u) == 0u;
}
