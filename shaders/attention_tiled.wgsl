// Causal grouped-query attention for many rows, with online softmax: a workgroup takes 32 queries of one KV head, row by row and
// within a row head by head, and goes over the positions of their sequence 32 at a time. A thread owns four queries: four
// positions' scores of each, then up to four times four dimensions of their weighted sums, in named registers.
#import step
#import kv_layout
#import KV_READ
#import attention_out

const WG = 64u;
const QUERIES = 32u;
const POSITIONS = 32u;
// Threads that share four queries.
const LANES = 8u;
// Vectors of a head's dimensions that are in workgroup memory at a time for the scores; positions for the weighted sum.
const DEPTH = 8u;
const V_POSITIONS = min(POSITIONS, DEPTH * POSITIONS / DIM4);

// (DEPTH, QUERIES)
var<workgroup> q_tile: array<vec4f, DEPTH * QUERIES>;
// K (DEPTH, POSITIONS), then V (V_POSITIONS, DIM4); lanes without dimensions of their own read up to LANES past the last.
var<workgroup> kv_tile: array<vec4f, DEPTH * POSITIONS + LANES>;
// (POSITIONS, QUERIES / 4), of four queries.
var<workgroup> weights: array<vec4f, POSITIONS * QUERIES / 4u>;
// (LANES, QUERIES / 4)
var<workgroup> lane_largest: array<vec4f, WG>;

// Scores of four queries at one position.
fn dots(q0: vec4f, q1: vec4f, q2: vec4f, q3: vec4f, k: vec4f) -> vec4f {
  return vec4f(dot(q0, k), dot(q1, k), dot(q2, k), dot(q3, k));
}

// Whether queries at four positions attend to position p.
fn seen(p: u32, position: vec4<u32>) -> vec4<bool> {
  return (vec4<u32>(p) <= position) & (position - vec4<u32>(p) < vec4<u32>(WINDOW));
}

// Each of four queries' weight times the same four values.
fn outer(w: vec4f, v: vec4f) -> mat4x4f {
  return mat4x4f(w.x * v, w.y * v, w.z * v, w.w * v);
}

fn scaled(sums: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(sums[0] * by.x, sums[1] * by.y, sums[2] * by.z, sums[3] * by.w);
}

fn put(at: u32, d: u32, value: vec4f) {
  if (d < DIM4) {
    out[at + d] = value;
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let kv_head = wid.y;
  let first = wid.x * QUERIES;
  let ty = lid / LANES;
  let tx = lid % LANES;
  let mine = first + ty * 4u + vec4<u32>(0u, 1u, 2u, 3u);
  let row = min(mine / GROUP, vec4<u32>(step.rows - 1u));
  let position = vec4<u32>(
    rows[row.x].position,
    rows[row.y].position,
    rows[row.z].position,
    rows[row.w].position,
  );
  // Past the last row or the cache: computed like others and not written.
  let written = (mine / GROUP < vec4<u32>(step.rows)) & (position < vec4<u32>(CONTEXT));
  let scale = inverseSqrt(f32(HEAD_DIM));
  let after = min((first + QUERIES - 1u) / GROUP + 1u, step.rows);

  var a0 = mat4x4f();
  var a1 = mat4x4f();
  var a2 = mat4x4f();
  var a3 = mat4x4f();
  var largest = vec4f(-3.0e38);
  var sum = vec4f();
  // Neighbouring rows of one sequence at a time: most often all of them.
  var next_row = first / GROUP;
  while (next_row < after) {
    let start = next_row;
    let sequence = rows[start].sequence;
    var begin = CONTEXT;
    var length = 0u;
    while (next_row < after && rows[next_row].sequence == sequence) {
      let reach = rows[next_row].position + 1u;
      length = select(length, max(length, reach), reach <= CONTEXT);
      begin = min(begin, first_seen(reach - 1u));
      next_row++;
    }
    let here = written & (row >= vec4<u32>(start)) & (row < vec4<u32>(next_row));
    let k_at = k_element(sequence, kv_head, 0u, 0u) / 4u;
    let v_at = v_element(sequence, kv_head, 0u, 0u) / 4u;

    for (var p0 = begin; p0 < length; p0 += POSITIONS) {
      // Scores of four queries at four positions: p0 + tx, then every LANES.
      var s0 = vec4f();
      var s1 = vec4f();
      var s2 = vec4f();
      var s3 = vec4f();
      for (var d0 = 0u; d0 < DIM4; d0 += DEPTH) {
        for (var i = lid; i < DEPTH * QUERIES; i += WG) {
          let query = first + i / DEPTH;
          let d = d0 + i % DEPTH;
          let at = min(query / GROUP, step.rows - 1u) * Q_STRIDE4 + (kv_head * GROUP + query % GROUP) * DIM4;
          q_tile[(i % DEPTH) * QUERIES + i / DEPTH] = select(vec4f(), q[at + min(d, DIM4 - 1u)], d < DIM4);
        }
        for (var i = lid; i < DEPTH * POSITIONS; i += WG) {
          let d = min(d0 + i / POSITIONS, DIM4 - 1u);
          kv_tile[i] = kv_load(k_at + k_four(d, kv_slot(min(p0 + i % POSITIONS, length - 1u))));
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
          let query = d * QUERIES + ty * 4u;
          let q0 = q_tile[query];
          let q1 = q_tile[query + 1u];
          let q2 = q_tile[query + 2u];
          let q3 = q_tile[query + 3u];
          let k = d * POSITIONS + tx;
          s0 += dots(q0, q1, q2, q3, kv_tile[k]);
          s1 += dots(q0, q1, q2, q3, kv_tile[k + LANES]);
          s2 += dots(q0, q1, q2, q3, kv_tile[k + 2u * LANES]);
          s3 += dots(q0, q1, q2, q3, kv_tile[k + 3u * LANES]);
        }
        workgroupBarrier();
      }
      // Positions that a query sees: the window that ends with its own, of its own sequence.
      let p = p0 + tx;
      let sees0 = here & seen(p, position);
      let sees1 = here & seen(p + LANES, position);
      let sees2 = here & seen(p + 2u * LANES, position);
      let sees3 = here & seen(p + 3u * LANES, position);
      s0 = select(vec4f(-3.0e38), s0 * scale, sees0);
      s1 = select(vec4f(-3.0e38), s1 * scale, sees1);
      s2 = select(vec4f(-3.0e38), s2 * scale, sees2);
      s3 = select(vec4f(-3.0e38), s3 * scale, sees3);
      lane_largest[tx * (QUERIES / 4u) + ty] = max(max(s0, s1), max(s2, s3));
      workgroupBarrier();
      var peak = largest;
      for (var lane = 0u; lane < LANES; lane++) {
        peak = max(peak, lane_largest[lane * (QUERIES / 4u) + ty]);
      }
      let shrink = exp(largest - peak);
      largest = peak;
      let weight_at = tx * (QUERIES / 4u) + ty;
      // What is not seen weighs nothing even where a query has seen nothing yet.
      weights[weight_at] = select(vec4f(), exp(s0 - peak), sees0);
      weights[weight_at + WG] = select(vec4f(), exp(s1 - peak), sees1);
      weights[weight_at + 2u * WG] = select(vec4f(), exp(s2 - peak), sees2);
      weights[weight_at + 3u * WG] = select(vec4f(), exp(s3 - peak), sees3);

      sum *= shrink;
      a0 = scaled(a0, shrink);
      a1 = scaled(a1, shrink);
      a2 = scaled(a2, shrink);
      a3 = scaled(a3, shrink);
      for (var v0 = 0u; v0 < POSITIONS; v0 += V_POSITIONS) {
        let count = min(V_POSITIONS, POSITIONS - v0);
        for (var i = lid; i < count * DIM4; i += WG) {
          let from_last = min(p0 + v0 + i / DIM4, length - 1u);
          kv_tile[i] = kv_load(v_at + kv_slot(from_last) * DIM4 + i % DIM4);
        }
        workgroupBarrier();
        for (var i = 0u; i < count; i++) {
          let w = weights[(v0 + i) * (QUERIES / 4u) + ty];
          let v = i * DIM4 + tx;
          sum += w;
          a0 += outer(w, kv_tile[v]);
          if (DIM4 > LANES) {
            a1 += outer(w, kv_tile[v + LANES]);
          }
          if (DIM4 > 2u * LANES) {
            a2 += outer(w, kv_tile[v + 2u * LANES]);
          }
          if (DIM4 > 3u * LANES) {
            a3 += outer(w, kv_tile[v + 3u * LANES]);
          }
        }
        workgroupBarrier();
      }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    if (written[i]) {
      let at = row[i] * OUT_STRIDE4 + (kv_head * GROUP + mine[i] % GROUP) * DIM4;
      put(at, tx, a0[i] / sum[i]);
      put(at, tx + LANES, a1[i] / sum[i]);
      put(at, tx + 2u * LANES, a2[i] / sum[i]);
      put(at, tx + 3u * LANES, a3[i] / sum[i]);
    }
  }
}
