// Splits of a sequence, each SPLIT positions of it.
#import attention_out

// The splits that a row at this position has.
fn split_count(position: u32) -> u32 {
  return position / SPLIT + 1u;
}

// The split that the first position is in that a row at this one attends to.
fn first_split(position: u32) -> u32 {
  return first_seen(position) / SPLIT;
}
