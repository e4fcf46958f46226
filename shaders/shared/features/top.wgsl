#import best

// How many of the workgroup's best come before one; those of `all_best` are all different.
fn rank_among_threads(mine: Best) -> u32 {
  var rank = 0u;
  for (var i = 0u; i < WG; i++) {
    rank += select(0u, 1u, is_before(all_best[i], mine));
  }
  return rank;
}

// The larger comes first, the lower index among equals.
fn is_before(a: Best, b: Best) -> bool {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}
