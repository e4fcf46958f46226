// Adds up the parts that attention_decode left: out = sum(part * exp(largest - overall)) / sum(weights). A workgroup takes a
// head of a row; each thread reads what one part says of itself, then neighbours four dimensions each, of eight parts at a time.
#import step
#import gpu/attention_parts
#import gpu/eight

// Threads that share the same four dimensions.
const LANES = WG / DIM4;
// Parts that a lane has.
const TRIPS = (SPLITS + LANES - 1u) / LANES;

// Of each part: largest score, sum of weights. Those past the last count nothing.
var<workgroup> told: array<vec2f, WG + 1u>;
var<workgroup> lanes: array<vec4f, WG>;
var<workgroup> lane_sums: array<f32, WG>;

alias Raw = vec4f;

// Dimension block of part p; of those past the last, the last one's.
fn value_at(first: u32, p: u32, last: u32) -> vec4f {
  return parts[first + min(p, last) * (DIM4 + 1u)];
}

fn eight(first: u32, p: u32, last: u32) -> Eight {
  return Eight(
    value_at(first, p, last),
    value_at(first, p + LANES, last),
    value_at(first, p + 2u * LANES, last),
    value_at(first, p + 3u * LANES, last),
    value_at(first, p + 4u * LANES, last),
    value_at(first, p + 5u * LANES, last),
    value_at(first, p + 6u * LANES, last),
    value_at(first, p + 7u * LANES, last),
  );
}

struct Sums {
  value: vec4f,
  total: f32,
}

fn added(sums: Sums, value: vec4f, p: u32, overall: f32) -> Sums {
  let own = told[min(p, WG)];
  let share = exp(own.x - overall);
  return Sums(sums.value + share * value, sums.total + share * own.y);
}

fn added_eight(sums: Sums, v: Eight, p: u32, overall: f32) -> Sums {
  let two = added(added(sums, v.a, p, overall), v.b, p + LANES, overall);
  let four = added(added(two, v.c, p + 2u * LANES, overall), v.d, p + 3u * LANES, overall);
  let six = added(added(four, v.e, p + 4u * LANES, overall), v.f, p + 5u * LANES, overall);
  return added(added(six, v.g, p + 6u * LANES, overall), v.h, p + 7u * LANES, overall);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let head = wid.x;
  let row = wid.y;
  let position = rows[row].position;
  let count = part_count(position);
  if (position >= CONTEXT || count == 1u) {
    return;
  }
  let first = part_at(row, head, 0u) + lid % DIM4;
  // Threads without dimensions of their own count no part.
  let mine = select(WG, lid / DIM4, lid < LANES * DIM4);
  let begun = eight(first, mine, count - 1u);
  let own = parts[part_at(row, head, min(lid, count - 1u)) + DIM4].xy;
  told[lid] = select(vec2f(-3.0e38, 0.0), own, lid < count);
  if (lid == 0u) {
    told[WG] = vec2f(-3.0e38, 0.0);
  }
  workgroupBarrier();
  var overall = told[0].x;
  for (var p = 1u; p < SPLITS; p++) {
    overall = max(overall, told[p].x);
  }
  var sums = added_eight(Sums(), begun, mine, overall);
  for (var i = 1u; i < (TRIPS + 7u) / 8u; i++) {
    let p = 8u * i * LANES;
    if (p >= count) {
      break;
    }
    sums = added_eight(sums, eight(first, mine + p, count - 1u), mine + p, overall);
  }
  lanes[lid] = sums.value;
  lane_sums[lid] = sums.total;
  workgroupBarrier();
  if (lid < DIM4) {
    for (var l = 1u; l < LANES; l++) {
      sums.value += lanes[l * DIM4 + lid];
      sums.total += lane_sums[l * DIM4 + lid];
    }
    out[row * OUT_STRIDE4 + head * DIM4 + lid] = sums.value / sums.total;
  }
}
