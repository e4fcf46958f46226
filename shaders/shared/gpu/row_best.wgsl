#import gpu/grouped

// The largest logit of a row, of its slices; `all_best` then has that of each slice.
fn row_best(row: u32, lid: u32) -> Best {
  var mine = Best(-3.4e38, 0u);
  if (lid < SLICES) {
    let slice = slices[row * SLICES + lid];
    mine = Best(slice.value, slice.index);
  }
  return grouped_best(mine, lid);
}
