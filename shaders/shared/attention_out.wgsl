// Heads and positions of attention, and where parts of a sequence are that are added up.

const DIM4 = HEAD_DIM / 4u;
const GROUP = HEADS / KV_HEADS;
// Query heads of one KV head go four at a time, in the components of a vec4.
const QUADS = (GROUP + 3u) / 4u;

// The first position that a row at this one attends to.
fn first_seen(position: u32) -> u32 {
  return position + 1u - min(position + 1u, WINDOW);
}

fn part_at(row: u32, head: u32, part: u32) -> u32 {
  return ((row * HEADS + head) * SPLITS + part) * (DIM4 + 1u);
}
