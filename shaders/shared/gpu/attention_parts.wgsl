// Parts of what a row attends to, of whole chunks of SPLIT positions: one up to UNSPLIT positions, and never more than PARTS.
#import attention_out

fn chunk_count(position: u32) -> u32 {
  return (min(position + 1u, WINDOW) + SPLIT - 1u) / SPLIT;
}

// Chunks of a part of so many.
fn chunks_each(chunks: u32) -> u32 {
  return select((chunks + PARTS - 1u) / PARTS, chunks, chunks * SPLIT <= UNSPLIT);
}

fn part_count(position: u32) -> u32 {
  let chunks = chunk_count(position);
  let each = chunks_each(chunks);
  return (chunks + each - 1u) / each;
}
