// Causal grouped-query attention with online softmax, the least to go wrong on a GPU: what runs where the other kernels compute
// wrongly. A workgroup takes one head of one row and goes over all of its positions, WG at a time. Scores: a thread a position;
// weighted sum: a thread four dimensions, and what threads are left share the positions.
#import step
#import kv_layout
#import KV_READ
#import attention_out
#import workgroup

// Threads that share the same four dimensions.
const LANES = WG / DIM4;
const CHUNKS = (CONTEXT + WG - 1u) / WG;

var<workgroup> query: array<vec4f, DIM4>;
var<workgroup> weights: array<f32, WG>;
var<workgroup> sums: array<vec4f, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row = wid.x;
  let head = wid.y;
  let at = rows[row];
  if (at.position >= CONTEXT) {
    return;
  }
  if (lid < DIM4) {
    query[lid] = q[row * Q_STRIDE4 + head * DIM4 + lid];
  }
  workgroupBarrier();
  let k_at = k_element(at.sequence, head / GROUP, 0u, 0u) / 4u;
  let v_at = v_element(at.sequence, head / GROUP, 0u, 0u) / 4u;
  let begin = first_seen(at.position);
  let lane = lid / DIM4;
  let d4 = lid % DIM4;
  var acc = vec4f();
  var largest = -3.0e38;
  var sum = 0.0;
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    let start = begin + chunk * WG;
    if (start > at.position) {
      break;
    }
    // Those past the last repeat it and weigh nothing.
    let seen = start + lid <= at.position;
    let slot = kv_slot(min(start + lid, at.position));
    var score = 0.0;
    for (var d = 0u; d < DIM4; d++) {
      score += dot(query[d], kv_load(k_at + k_four(d, slot)));
    }
    score *= inverseSqrt(f32(HEAD_DIM));
    let next = max(largest, workgroup_max(score, lid));
    let shrink = exp(largest - next);
    largest = next;
    let weight = select(0.0, exp(score - next), seen);
    sum = sum * shrink + weight;
    acc *= shrink;
    weights[lid] = weight;
    workgroupBarrier();
    for (var i = 0u; i < (WG + LANES - 1u) / LANES; i++) {
      let p = i * LANES + lane;
      if (p < WG && lane < LANES) {
        acc += weights[p] * kv_load(v_at + kv_slot(min(start + p, at.position)) * DIM4 + d4);
      }
    }
    workgroupBarrier();
  }
  let total = workgroup_sum(sum, lid);
  sums[lid] = acc;
  workgroupBarrier();
  if (lid < DIM4) {
    var value = vec4f();
    for (var i = 0u; i < LANES; i++) {
      value += sums[i * DIM4 + lid];
    }
    out[row * OUT_STRIDE4 + head * DIM4 + lid] = value / total;
  }
}
