// Causal grouped-query attention for few rows: a workgroup takes one head of a row and one part of the sequence, a chunk of
// SPLIT positions at a time; its neighbours take the heads that read the same K and V. Scores: a thread a position, K read by neighbouring positions. Weighted sum:
// a thread a vector of dimensions, V read by neighbouring vectors. Eight loads are under way at a time, and a chunk costs one
// barrier. What subgroups a thread is in changes nothing but time.
#import step
#import kv_layout
#import KV_READ
#import PEAK
#import gpu/attention_parts
#import attention_leave
#import QUERY
#import gpu/eight

// Vectors of a head, in eights; heads of up to four have two positions a thread.
const VECTORS = HEAD_DIM / KEY;
const EIGHTS = (VECTORS + 7u) / 8u;
const TWO = SPLIT > WG;
// Threads that share a vector in the weighted sum, and positions that they have of a chunk, in eights.
const LANES = WG / VECTORS;
const TURNS = ((SPLIT + LANES - 1u) / LANES + 7u) / 8u;
// Of more than two, more than there are, and than compilers would unroll: each would take registers of its own.
const MOST_TURNS = select(64u, TURNS, TURNS <= 2u);
// Scores of a chunk, with those past it that a turn reads.
const SCORES = max(SPLIT, 8u * TURNS * LANES) + LANES;
const MOST_CHUNKS = (min(CONTEXT, WINDOW) + SPLIT - 1u) / SPLIT;
// Chunks of the longest part.
const CHUNKS = max((MOST_CHUNKS + PARTS - 1u) / PARTS, min(MOST_CHUNKS, UNSPLIT / SPLIT));
// Of what is not there: it weighs nothing.
const NONE = -3.0e38;

// (8 EIGHTS) vectors, zeros past the last.
var<workgroup> query: array<vec4f, 8u * EIGHTS * KEY4>;
// (2, SCORES): a chunk's, while some threads still read those of the chunk before.
var<workgroup> scores: array<f32, 2u * SCORES>;
// The largest score of a chunk as a word of the same order, the one that is read, and the one that is zeroed.
var<workgroup> peaks: array<atomic<u32>, 3>;
// (KEY4, WG) and (WG): what each thread has added up.
var<workgroup> lanes: array<vec4f, KEY4 * WG>;
var<workgroup> told: f32;
var<workgroup> lane_sums: array<f32, WG>;
// What is wanted when all is added up: the row, and whether the part is its last and one of how many.
var<workgroup> kept_row: Row;
var<workgroup> kept_last: u32;
var<workgroup> kept_count: u32;

// Vector i of those that follow; past the last, that one again.
fn key(at: u32, from_first: u32, i: u32) -> Raw {
  if (VECTORS % select(8u, 4u, TWO) == 0u) {
    return kv[at + i * CAPACITY];
  }
  return kv[at + min(i, VECTORS - 1u - from_first) * CAPACITY];
}

// Eight vectors of a position; or four of each of two.
fn keys(at: vec2<u32>, from_first: u32) -> Eight {
  let next = select(4u, 0u, TWO);
  return Eight(
    key(at.x, from_first, 0u),
    key(at.x, from_first, 1u),
    key(at.x, from_first, 2u),
    key(at.x, from_first, 3u),
    key(at.y, from_first, next),
    key(at.y, from_first, next + 1u),
    key(at.y, from_first, next + 2u),
    key(at.y, from_first, next + 3u),
  );
}

fn value(first: u32, position: u32, last: u32) -> Raw {
  if (CAPACITY < CONTEXT) {
    return kv[first + kv_slot(min(position, last)) * VECTORS];
  }
  return kv[min(first + position * VECTORS, first + last * VECTORS)];
}

// A vector of eight positions, those past the last again that one.
fn values(first: u32, position: u32, last: u32) -> Eight {
  return Eight(
    value(first, position, last),
    value(first, position + LANES, last),
    value(first, position + 2u * LANES, last),
    value(first, position + 3u * LANES, last),
    value(first, position + 4u * LANES, last),
    value(first, position + 5u * LANES, last),
    value(first, position + 6u * LANES, last),
    value(first, position + 7u * LANES, last),
  );
}

// Adds products of vectors of K with those of a query.
fn scored(sums: vec4f, a: Raw, b: Raw, c: Raw, d: Raw, i: u32) -> vec4f {
  let two = products(products(sums, query_vector(i), widened(a)), query_vector(i + 1u), widened(b));
  return products(products(two, query_vector(i + 2u), widened(c)), query_vector(i + 3u), widened(d));
}

fn across(sums: vec4f) -> f32 {
  return sums.x + sums.y + sums.z + sums.w;
}

// Words in the order of numbers; 0 is before them all.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn number(word: u32) -> f32 {
  return bitcast<f32>(select(~word, word & 0x7fffffffu, word >= 0x80000000u));
}

fn tell_peak(turn: u32, value: f32) {
  let peak = peak_here(value);
  if (tells_peak()) {
    atomicMax(&peaks[turn], ordered(peak));
  }
}

// What a thread has added up.
struct Sums {
  value: Vector,
  total: f32,
}

fn added(sums: Sums, raw: Raw, at: u32, peak: f32) -> Sums {
  let w = exp(scores[at] - peak);
  return Sums(sums.value + w * widened(raw), sums.total + w);
}

fn weighed(sums: Sums, a: Raw, b: Raw, c: Raw, d: Raw, at: u32, peak: f32) -> Sums {
  let two = added(added(sums, a, at, peak), b, at + LANES, peak);
  return added(added(two, c, at + 2u * LANES, peak), d, at + 3u * LANES, peak);
}

// Four dimensions of a part, and whether it is the row's last.
struct Left {
  value: vec4f,
  total: f32,
  peak: f32,
  last: bool,
}

// Never does anything, which compilers cannot know: they order what is in one block, and would put each load before its use.
fn hold() {
  if (step.rows == 0u) {
    atomicStore(&peaks[0], 0u);
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row = wid.z;
  let part = wid.y;
  let kv_head = wid.x / GROUP;
  let at = rows[row];
  let count = part_count(at.position);
  if (at.position >= CONTEXT || part >= count) {
    return;
  }
  let each = chunks_each(chunk_count(at.position));
  let begin = first_seen(at.position) + part * each * SPLIT;
  var start = begin;
  let last = min(begin + each * SPLIT, at.position + 1u);
  let end = cached(last, at.position);
  for (var n = 0u; n < (SCORES - SPLIT + WG - 1u) / WG; n++) {
    let p = SPLIT + lid + n * WG;
    if (p < SCORES) {
      scores[p] = NONE;
      scores[SCORES + p] = NONE;
    }
  }
  if (lid == 0u) {
    kept_row = at;
    kept_last = u32(last > at.position);
    kept_count = count;
    told = NONE;
  }
  prepare(row, wid.x, lid);
  workgroupBarrier();

  scale_ready(lid);
  let first_key = k_element(at.sequence, kv_head, 0u, 0u) / KEY;
  var peak = NONE;
  for (var chunk = 0u; chunk <= CHUNKS; chunk++) {
    let turn = chunk % 3u;
    let side = chunk % 2u * SCORES;
    let here = min(end - min(start, end), SPLIT);
    if (here > 0u) {
      // Positions past the end are the last.
      let slot = kv_slot(start + min(lid, here - 1u));
      var apart = 0u;
      if (TWO) {
        apart = kv_slot(start + min(lid + WG, here - 1u)) - slot;
      }
      var key_at = first_key + slot;
      var s = vec4f();
      var t = vec4f();
      for (var i = 0u; i < EIGHTS; i++) {
        let k = keys(vec2<u32>(key_at, key_at + apart), 8u * i);
        hold();
        s = scored(s, k.a, k.b, k.c, k.d, 8u * i);
        if (TWO) {
          t = scored(t, k.e, k.f, k.g, k.h, 8u * i);
        } else {
          s = scored(s, k.e, k.f, k.g, k.h, 8u * i + 4u);
        }
        key_at += 8u * CAPACITY;
      }
      let scale = score_scale(lid);
      var most = select(NONE, across(s) * scale, lid < here);
      if (lid < SPLIT) {
        scores[side + lid] = most;
      }
      if (TWO) {
        let second = select(NONE, across(t) * scale, lid + WG < here);
        scores[side + lid + WG] = second;
        most = max(most, second);
      }
      tell_peak(turn, most);
    }
    workgroupBarrier();
    // Behind the last chunk, all is there to be added up.
    if (here == 0u) {
      break;
    }
    let next = max(peak, number(atomicLoad(&peaks[turn])));
    var change = exp(peak - next);
    peak = next;
    if (lid == 0u) {
      // Read by all a barrier ago, and told anew behind the next.
      atomicStore(&peaks[(chunk + 2u) % 3u], 0u);
      told = peak;
    }
    for (var i = 0u; i < MOST_TURNS; i++) {
      if (TURNS > 1u && 8u * i * LANES >= here) {
        break;
      }
      let p = lid / VECTORS + 8u * i * LANES;
      let first_value = first_key + v_element(0u, 0u, 0u, 0u) / KEY + lid % VECTORS;
      let v = values(first_value, start + p, end - 1u);
      hold();
      var sums = weighed(Sums(), v.a, v.b, v.c, v.d, side + p, peak);
      hold_half();
      sums = weighed(sums, v.e, v.f, v.g, v.h, side + p + 4u * LANES, peak);
      add_lane(lid, change, sums.value);
      lane_sums[lid] = lane_sums[lid] * change + sums.total;
      change = 1.0;
    }
    start += SPLIT;
  }
  // Threads by four dimensions add the lanes up.
  var left = Left(vec4f(), 0.0, told, kept_last != 0u);
  if (lid < DIM4) {
    for (var l = 0u; l < LANES; l++) {
      left.value += lanes[lid % KEY4 * WG + l * VECTORS + lid / KEY4];
      left.total += lane_sums[l * VECTORS];
    }
  }
  left = completed(left, kept_row, wid.z, wid.x, lid);
  if (lid < DIM4) {
    leave(wid.z, wid.x, wid.y, lid, left.value, left.peak, left.total, kept_count);
  }
}
