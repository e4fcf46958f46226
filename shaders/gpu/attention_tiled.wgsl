// Causal grouped-query attention for many rows, with online softmax: a workgroup takes some queries of one KV head, row by row and
// within a row head by head, and goes over the positions of their sequence some at a time. A thread owns four queries: their
// scores at two positions, then four dimensions of their weighted sums, in named registers. Wider heads have fewer queries and
// more positions a tile, so that threads always have as much to do, and go through workgroup memory in slices.
#import step
#import kv_layout
#import KV_READ
#import attention_out
#import TILE

// Threads that share four queries: one for each four dimensions.
const LANES = select(select(64u, 32u, DIM4 <= 32u), 16u, DIM4 <= 16u);
const FOURS = WG / LANES;
const QUERIES = 4u * FOURS;
const POSITIONS = 2u * LANES;
const UNITS = (DIM4 + UNIT4 - 1u) / UNIT4;
// Of K the units of all positions that are in workgroup memory at a time; of V the units of all dimensions.
const K_UNITS = min(UNITS, TILE_UNITS / POSITIONS);
const K_SLICES = (UNITS + K_UNITS - 1u) / K_UNITS;
const V_UNITS = min(POSITIONS / UNIT_POSITIONS, TILE_UNITS / LANES);
const V_SLICES = POSITIONS / UNIT_POSITIONS / V_UNITS;
// Tiles of the longest sequence.
const TILES = (CONTEXT + POSITIONS - 1u) / POSITIONS;
// A score where nothing was seen yet, and what is far less: it weighs nothing even there.
const NONE = -1.0e37;
const UNSEEN = -2.0e38;
const V_AT = 8u;
const NOWHERE = 0xffffffffu;

// (4 words of each unit, FOURS); past the last dimension, zeros.
var<workgroup> queries: array<Unit, 4u * K_SLICES * K_UNITS * FOURS>;
// Bits of the largest number of each query; the first of each four, then the second ones.
var<workgroup> peaks: array<atomic<u32>, QUERIES>;
// What makes scores of the queries' sums, and the last position that each sees of the sequence at hand.
var<workgroup> scales: array<vec4f, FOURS>;
var<workgroup> last_seen: array<vec4<u32>, FOURS>;
// Which part of the cache each query has, its position, and where its output goes; NOWHERE past the last row or the cache: what is
// there is computed like others and not written.
var<workgroup> parts_of: array<u32, QUERIES>;
var<workgroup> positions: array<u32, QUERIES>;
var<workgroup> places: array<vec4<u32>, FOURS>;
// The first query of the part at hand, that part, the first query of the next one, the first position that queries of this one
// see, inverted, and the last one.
var<workgroup> start: u32;
var<workgroup> part: u32;
var<workgroup> next: atomic<u32>;
var<workgroup> least: atomic<u32>;
var<workgroup> most: atomic<u32>;
// The first position and the last one, and where K and V are.
var<workgroup> bounds: vec4<u32>;
// K (K_UNITS, POSITIONS), then from V_AT on V (V_UNITS, LANES): at places of their own, or compilers keep those for both.
var<workgroup> tile: array<Unit, TILE_UNITS + V_AT>;
// In the same order the largest score of each query so far, as `ordered` has it: behind each second tile, and behind the others.
var<workgroup> largest: array<atomic<u32>, 2u * QUERIES>;
// (2, FOURS, LANES): weights of four queries at the first LANES positions and at the others.
var<workgroup> weights: array<vec4f, 2u * WG>;
// Of the weights that each thread made.
var<workgroup> sums: array<vec4f, WG>;

// Numbers as words of the same order.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(~bits, bits | 0x80000000u, bits < 0x80000000u);
}

fn number_of(word: u32) -> f32 {
  return bitcast<f32>(select(~word, word & 0x7fffffffu, word >= 0x80000000u));
}

fn largest_of(at: u32) -> vec4f {
  return vec4f(
    number_of(atomicLoad(&largest[at])),
    number_of(atomicLoad(&largest[at + FOURS])),
    number_of(atomicLoad(&largest[at + 2u * FOURS])),
    number_of(atomicLoad(&largest[at + 3u * FOURS])),
  );
}

fn query_at(query: u32, kv_head: u32) -> u32 {
  return min(query / GROUP, step.rows - 1u) * Q_STRIDE4 + (kv_head * GROUP + query % GROUP) * DIM4;
}

fn peak_of(value: vec4f) -> u32 {
  let size = abs(value);
  return bitcast<u32>(max(max(size.x, size.y), max(size.z, size.w)));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let kv_head = wid.y;
  let first = wid.x * QUERIES;
  let ty = lid / LANES;
  let tx = lid & (LANES - 1u);

  // Queries into workgroup memory: four dimensions of four of them a thread.
  {
    let mine = first + ty * 4u;
    let d4 = min(tx, DIM4 - 1u);
    let q0 = q[query_at(mine, kv_head) + d4];
    let q1 = q[query_at(mine + 1u, kv_head) + d4];
    let q2 = q[query_at(mine + 2u, kv_head) + d4];
    let q3 = q[query_at(mine + 3u, kv_head) + d4];
    atomicMax(&peaks[ty], peak_of(q0));
    atomicMax(&peaks[FOURS + ty], peak_of(q1));
    atomicMax(&peaks[2u * FOURS + ty], peak_of(q2));
    atomicMax(&peaks[3u * FOURS + ty], peak_of(q3));
    if (lid == 0u) {
      atomicStore(&next, QUERIES);
    }
    workgroupBarrier();
    let by0 = query_scale(atomicLoad(&peaks[ty]));
    let by1 = query_scale(atomicLoad(&peaks[FOURS + ty]));
    let by2 = query_scale(atomicLoad(&peaks[2u * FOURS + ty]));
    let by3 = query_scale(atomicLoad(&peaks[3u * FOURS + ty]));
    if (DIM4 == LANES || tx < DIM4) {
      put_queries(tx, ty, q0 * by0.x, q1 * by1.x, q2 * by2.x, q3 * by3.x);
    }
    if (tx == 0u) {
      scales[ty] = inverseSqrt(f32(HEAD_DIM)) * vec4f(by0.y, by1.y, by2.y, by3.y);
    }
  }

  if (lid < QUERIES) {
    let query = first + lid;
    let at = query / GROUP;
    let row = rows[min(at, step.rows - 1u)];
    let there = at < step.rows && row.position < CONTEXT;
    parts_of[lid] = select(NOWHERE, row.sequence * KV_HEADS + kv_head, there);
    positions[lid] = row.position;
    places[lid / 4u][lid % 4u] =
      select(NOWHERE, at * OUT_STRIDE4 + (kv_head * GROUP + query % GROUP) * DIM4, there);
    atomicStore(&largest[lid], ordered(NONE));
    atomicStore(&largest[QUERIES + lid], ordered(NONE));
    if (there) {
      atomicMin(&next, lid);
    }
  }

  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  // Neighbouring rows of one sequence at a time: most often all rows.
  for (var turn = 0u; turn < QUERIES; turn++) {
    workgroupBarrier();
    if (lid == 0u) {
      start = atomicLoad(&next);
      part = parts_of[min(start, QUERIES - 1u)];
      atomicStore(&next, QUERIES);
      atomicStore(&least, 0u);
      atomicStore(&most, 0u);
    }
    workgroupBarrier();
    if (lid < QUERIES && lid >= start && parts_of[lid] != part && parts_of[lid] != NOWHERE) {
      atomicMin(&next, lid);
    }
    workgroupBarrier();
    if (lid < QUERIES) {
      let sees = lid >= start && lid < atomicLoad(&next) && parts_of[lid] != NOWHERE;
      last_seen[lid / 4u][lid % 4u] = select(NOWHERE, positions[lid], sees);
      if (sees) {
        atomicMax(&least, ~first_seen(positions[lid]));
        atomicMax(&most, positions[lid]);
      }
      // Tiles are counted anew.
      atomicMax(&largest[lid], atomicLoad(&largest[QUERIES + lid]));
      atomicMax(&largest[QUERIES + lid], atomicLoad(&largest[lid]));
    }
    workgroupBarrier();
    if (lid == 0u) {
      let sequence = part / KV_HEADS;
      let kv_head = part % KV_HEADS;
      let k_at = k_element(sequence, kv_head, 0u, 0u) / 4u;
      let v_at = v_element(sequence, kv_head, 0u, 0u) / 4u;
      bounds = vec4<u32>(~atomicLoad(&least), atomicLoad(&most), k_at, v_at);
    }
    let found = workgroupUniformLoad(&bounds);
    let begin = found.x;
    let last = found.y;
    if (begin > last) {
      break;
    }

    for (var t = 0u; t < TILES; t++) {
      let p0 = begin + t * POSITIONS;
      if (p0 > last) {
        break;
      }
      // Scores of four queries at position p0 + tx, and LANES further.
      var s0 = vec2f();
      var s1 = vec2f();
      var s2 = vec2f();
      var s3 = vec2f();
      for (var slice = 0u; slice < K_SLICES; slice++) {
        for (var j = 0u; j < (K_UNITS * POSITIONS + WG - 1u) / WG; j++) {
          let i = j * (WG % POSITIONS) + lid;
          let unit = slice * K_UNITS + j * (WG / POSITIONS) + i / POSITIONS;
          let slot = kv_slot(min(p0 + i % POSITIONS, last));
          tile[j * WG + lid] = k_unit(bounds.z, min(unit, UNITS - 1u), slot);
        }
        workgroupBarrier();
        for (var u = 0u; u < K_UNITS; u++) {
          let k0 = tile[u * POSITIONS + tx];
          let k1 = tile[u * POSITIONS + tx + LANES];
          let word = 4u * (slice * K_UNITS + u) * FOURS + ty;
          for (var w = 0u; w < 4u; w++) {
            let q = queries[word + w * FOURS];
            let pair = words(k0[w], k1[w]);
            s0 = dots(s0, q.x, pair);
            s1 = dots(s1, q.y, pair);
            s2 = dots(s2, q.z, pair);
            s3 = dots(s3, q.w, pair);
          }
        }
        workgroupBarrier();
      }
      // Positions that a query sees: the window that ends with its own, of its own sequence.
      let ago = last_seen[ty] - vec4<u32>(p0 + tx);
      var near = vec4f(s0.x, s1.x, s2.x, s3.x) * scales[ty];
      var far = vec4f(s0.y, s1.y, s2.y, s3.y) * scales[ty];
      near = select(vec4f(UNSEEN), near, ago < vec4<u32>(WINDOW));
      far = select(vec4f(UNSEEN), far, ago - vec4<u32>(LANES) < vec4<u32>(WINDOW));
      let now = t % 2u * QUERIES + ty;
      let before = (t + 1u) % 2u * QUERIES + ty;
      {
        let most = max(max(near, far), largest_of(before));
        atomicMax(&largest[now], ordered(most.x));
        atomicMax(&largest[now + FOURS], ordered(most.y));
        atomicMax(&largest[now + 2u * FOURS], ordered(most.z));
        atomicMax(&largest[now + 3u * FOURS], ordered(most.w));
      }
      workgroupBarrier();
      {
        let most = largest_of(now);
        near = exp(near - most);
        weights[lid] = near;
        far = exp(far - most);
        weights[WG + lid] = far;
        let shrink = exp(largest_of(before) - most);
        sums[lid] = sums[lid] * shrink + near + far;
        a0 *= shrink.x;
        a1 *= shrink.y;
        a2 *= shrink.z;
        a3 *= shrink.w;
      }
      for (var slice = 0u; slice < V_SLICES; slice++) {
        for (var j = 0u; j < V_UNITS * LANES / WG; j++) {
          let p = p0 + UNIT_POSITIONS * (slice * V_UNITS + j * FOURS + ty);
          let slots = vec2<u32>(kv_slot(min(p, last)), kv_slot(min(p + 1u, last)));
          tile[V_AT + j * WG + lid] = v_unit(bounds.w, tx, slots);
        }
        workgroupBarrier();
        for (var u = 0u; u < V_UNITS / PAIR_ROWS; u++) {
          let p = UNIT_POSITIONS * (slice * V_UNITS + u * PAIR_ROWS);
          let at = p / LANES * WG + ty * LANES + p % LANES;
          let w0 = weights[at];
          let w1 = weights[at + 1u];
          let v = v_pair(V_AT + u * PAIR_ROWS * LANES + tx);
          a0 = a0 + w0.x * v[0] + w1.x * v[1];
          a1 = a1 + w0.y * v[0] + w1.y * v[1];
          a2 = a2 + w0.z * v[0] + w1.z * v[1];
          a3 = a3 + w0.w * v[0] + w1.w * v[1];
        }
        workgroupBarrier();
      }
    }
  }
  var sum = vec4f();
  for (var lane = 0u; lane < LANES; lane++) {
    sum += sums[ty * LANES + lane];
  }
  let at = places[ty];
  put(at.x, tx, a0 / sum.x);
  put(at.y, tx, a1 / sum.y);
  put(at.z, tx, a2 / sum.z);
  put(at.w, tx, a3 / sum.w);
}

// Of threads past the last dimension nothing is written.
fn put(at: u32, d4: u32, value: vec4f) {
  if ((DIM4 == LANES || 4u * d4 < HEAD_DIM) && at != NOWHERE) {
    out[at + d4] = value;
  }
}
