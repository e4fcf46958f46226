// Causal grouped-query attention for few rows: a workgroup takes one row, up to four query heads of one KV head and one split
// of the sequence. Scores: a thread a position, K read by neighbouring positions. Weighted sum: a thread four dimensions, V
// read by neighbouring dimensions. As in attention.wgsl, loops start from run-time values so that no driver unrolls them.
#import step
#import kv_layout
#import KV_READ
#import attention_out

// Threads that share the same four dimensions in the weighted sum.
const LANES = WG / DIM4;

var<workgroup> query: array<vec4f, 4u * DIM4>;
// Scores, then weights, of four heads.
var<workgroup> weights: array<vec4f, SPLIT>;
var<workgroup> shared_lane: array<vec4f, WG>;
var<workgroup> shared_sum: array<array<vec4f, 4>, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row = wid.z;
  let kv_head = wid.y / QUADS;
  let quad = wid.y % QUADS;
  let at = rows[row];
  let split = first_split(at.position) + wid.x;
  let splits = split_count(at.position);
  let used = min(GROUP - quad * 4u, 4u);
  let first_head = kv_head * GROUP + quad * 4u;
  let start = max(split * SPLIT, first_seen(at.position));
  // Nothing for a split past the row's position: no thread then does more than meet the barriers.
  let some = split < splits && at.position < CONTEXT;
  let count = select(0u, min((split + 1u) * SPLIT, at.position + 1u) - start, some);

  for (var i = lid; i < used * DIM4; i += WG) {
    query[i] = q[row * Q_STRIDE4 + first_head * DIM4 + i];
  }
  workgroupBarrier();

  let scale = inverseSqrt(f32(HEAD_DIM));
  let k_at = k_element(at.sequence, kv_head, 0u, 0u) / 4u;
  var largest = vec4f(-3.0e38);
  for (var p = lid; p < count; p += WG) {
    var s = vec4f();
    var d = 0u;
    let slot = kv_slot(start + p);
    for (var at_k = k_at; at_k < k_at + DIM4; at_k++) {
      let k = kv_load(k_at + k_four(d, slot));
      s.x += dot(query[d], k);
      if (GROUP > 1u) {
        s.y += dot(query[DIM4 + d], k);
      }
      if (GROUP > 2u) {
        s.z += dot(query[2u * DIM4 + d], k);
      }
      if (GROUP > 3u) {
        s.w += dot(query[3u * DIM4 + d], k);
      }
      d++;
    }
    weights[p] = s * scale;
    largest = max(largest, s * scale);
  }
  shared_lane[lid] = largest;
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    if (lid < half) {
      shared_lane[lid] = max(shared_lane[lid], shared_lane[lid + half]);
    }
    workgroupBarrier();
  }
  largest = shared_lane[0];

  let v_at = v_element(at.sequence, kv_head, 0u, 0u) / 4u;
  let d = lid % DIM4;
  let lane = lid / DIM4;
  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  var sum = vec4f();
  for (var p = lane; p < select(0u, count, lane < LANES); p += LANES) {
    let w = exp(weights[p] - largest);
    let v = kv_load(v_at + kv_slot(start + p) * DIM4 + d);
    sum += w;
    a0 += w.x * v;
    a1 += w.y * v;
    a2 += w.z * v;
    a3 += w.w * v;
  }
  workgroupBarrier();
  shared_lane[lid] = sum;
  shared_sum[lid] = array<vec4f, 4>(a0, a1, a2, a3);
  workgroupBarrier();
  // Threads by (head, dimensions) add the lanes up.
  for (var i = lid; i < select(0u, used * DIM4, count > 0u); i += WG) {
    let h = i / DIM4;
    let dim = i % DIM4;
    var value = vec4f();
    var total = 0.0;
    for (var l = dim; l < dim + LANES * DIM4; l += DIM4) {
      value += shared_sum[l][h];
      total += shared_lane[l][h];
    }
    leave(row, first_head + h, split, dim, value, largest[h], total, splits);
  }
}
