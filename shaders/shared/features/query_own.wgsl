// A query as the projection left it, and the row's own K and V, which are not in the cache yet: norms of q and k as in rope.wgsl,
// RoPE, and the writing of K and V, by the workgroup of the first of the heads that share them. Of one row of a sequence.

// Vectors that are half of a head, and threads that have squares of what is normalised together.
const HALF4 = DIM4 / 2u;
const Q_NORMED = select(1u, HEADS, WHOLE) * DIM4;
const K_NORMED = select(1u, KV_HEADS, WHOLE) * DIM4;
const SQUARED = min(WG, max(Q_NORMED, K_NORMED));

var<workgroup> own_key: array<vec4f, DIM4>;
// Of q and of k, of each thread.
var<workgroup> squares: array<vec2f, WG>;
// What scores are multiplied with, and the key: each thread keeps its own.
var<workgroup> query_scales: array<f32, WG>;
var<workgroup> key_scales: array<f32, WG>;

fn squared(first: u32, size: u32, lid: u32) -> f32 {
  var sum = 0.0;
  for (var n = 0u; n < (size + WG - 1u) / WG; n++) {
    let i = lid + n * WG;
    if (i < size) {
      sum += dot(x[first + i], x[first + i]);
    }
  }
  return sum;
}

// Four dimensions and their pairs, rotated; `head` is of q's, then of k's.
fn rotated(row: u32, position: u32, head: u32, i: u32) -> mat2x4f {
  let first = row * (X_STRIDE / 4u) + head * DIM4 + i;
  var low = x[first];
  var high = x[first + HALF4];
  if (NORM_GAIN) {
    let gain = select(select(1u, 0u, head < HEADS), head, WHOLE) * DIM4 + i;
    low *= vectors[gain];
    high *= vectors[gain + HALF4];
  }
  // cos and sin of two neighbouring frequencies
  let a = rope[(position * HALF4 + i) * 2u];
  let b = rope[(position * HALF4 + i) * 2u + 1u];
  let cosine = vec4f(a.xz, b.xz);
  let sine = vec4f(a.yw, b.yw);
  return mat2x4f(low * cosine - high * sine, high * cosine + low * sine);
}

fn prepare(row: u32, head: u32, lid: u32) {
  let kv_head = head / GROUP;
  if (NORM) {
    let first = row * (X_STRIDE / 4u);
    let of_q = squared(first + select(head, 0u, WHOLE) * DIM4, Q_NORMED, lid);
    squares[lid] = vec2f(of_q, squared(first + (HEADS + select(kv_head, 0u, WHOLE)) * DIM4, K_NORMED, lid));
  }
  if (lid < HALF4) {
    let turned = rotated(row, rows[row].position, head, lid);
    query[lid] = turned[0];
    query[lid + HALF4] = turned[1];
  } else if (lid < 2u * HALF4) {
    let turned = rotated(row, rows[row].position, HEADS + kv_head, lid - HALF4);
    own_key[lid - HALF4] = turned[0];
    own_key[lid] = turned[1];
  }
}

// Behind the barrier that follows what was prepared.
fn scale_ready(lid: u32) {
  var scales = vec2f(1.0);
  if (NORM) {
    var sums = vec2f();
    for (var i = 0u; i < SQUARED; i++) {
      sums += squares[i];
    }
    scales = inverseSqrt(sums / vec2f(f32(4u * Q_NORMED), f32(4u * K_NORMED)) + EPS);
  }
  key_scales[lid] = scales.y;
  query_scales[lid] = scales.x * inverseSqrt(f32(HEAD_DIM));
}

fn score_scale(lid: u32) -> f32 {
  return query_scales[lid];
}

// The end of what is in the cache.
fn cached(end: u32, position: u32) -> u32 {
  return min(end, position);
}

fn note(sequence: u32, kind: f32, value: vec4f) {
  let size = max(max(abs(value.x), abs(value.y)), max(abs(value.z), abs(value.w)));
  if (NARROW && size >= 65520.0) {
    q[arrayLength(&q) - SEQUENCES + sequence] = vec2f(kind, size);
  }
}

// Adds the row's own position to the last part, and keeps its K and V.
fn completed(left: Left, at: Row, row: u32, head: u32, lid: u32) -> Left {
  if (!left.last) {
    return left;
  }
  let kv_head = head / GROUP;
  let key_scale = key_scales[lid];
  let own_value = row * (X_STRIDE / 4u) + (HEADS + KV_HEADS + kv_head) * DIM4;
  if (head % GROUP == 0u && lid < VECTORS) {
    let slot = kv_slot(at.position);
    let from_v = own_value + KEY4 * lid;
    let low = own_key[KEY4 * lid] * key_scale;
    let high = own_key[KEY4 * lid + KEY4 - 1u] * key_scale;
    note(at.sequence, 1.0, low);
    note(at.sequence, 1.0, high);
    note(at.sequence, 2.0, x[from_v]);
    note(at.sequence, 2.0, x[from_v + KEY4 - 1u]);
    kv[k_element(at.sequence, kv_head, 0u, 0u) / KEY + lid * CAPACITY + slot] = narrowed(low, high);
    kv[v_element(at.sequence, kv_head, slot, 0u) / KEY + lid] = narrowed(x[from_v], x[from_v + KEY4 - 1u]);
  }
  if (lid >= DIM4) {
    return left;
  }
  var products = vec4f();
  for (var i = 0u; i < DIM4; i++) {
    products += query[i] * own_key[i];
  }
  let score = across(products) * key_scale * query_scales[lid];
  let peak = max(left.peak, score);
  let before = exp(left.peak - peak);
  let weight = exp(score - peak);
  return Left(left.value * before + weight * x[own_value + lid], left.total * before + weight, peak, true);
}

// Loads of what is written too stay where they are: the second half of them may be used in a block of its own.
fn hold_half() {
  hold();
}
