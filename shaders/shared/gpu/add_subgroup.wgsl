// requires: subgroups
enable subgroups;

// Sum over SUB neighbours, whom a subgroup of any size that the adapter has holds together.
fn add_near(value: vec4f) -> vec4f {
  var sum = value;
  if (SUB > 1u) {
    sum += subgroupShuffleXor(sum, 1u);
  }
  if (SUB > 2u) {
    sum += subgroupShuffleXor(sum, 2u);
  }
  if (SUB > 4u) {
    sum += subgroupShuffleXor(sum, 4u);
  }
  return sum;
}
