// Causal grouped-query attention with online softmax, without barriers: a thread takes one row, up to four query heads of one
// KV head and one split of the sequence; its neighbours take the next splits. Of WIDE_FROM rows and more, a thread takes the
// whole sequence, its neighbours the next rows. For software adapters.
// Loops over a head start from a value that is known only at run time: with constant bounds lavapipe unrolls them, and compiles
// for half a minute.
#import step
#import kv_layout
#import KV_READ
#import plain/attention_splits
#import attention_leave

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let wide = step.rows >= WIDE_FROM;
  let row = select(id.z, id.x, wide);
  let kv_head = id.y / QUADS;
  let quad = id.y % QUADS;
  if (row >= step.rows) {
    return;
  }
  let at = rows[row];
  let splits = select(split_count(at.position), 1u, wide);
  let first = first_seen(at.position);
  let split = select(first / SPLIT + id.x, 0u, wide);
  if (split >= splits || at.position >= CONTEXT) {
    return;
  }
  // Heads past the group repeat its last one and are not written.
  let in_group = min(quad * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(GROUP - 1u));
  let head = kv_head * GROUP + in_group;
  let q_at = row * Q_STRIDE4 + head * DIM4;
  let k_at = k_element(at.sequence, kv_head, 0u, 0u) / 4u;
  let v_at = v_element(at.sequence, kv_head, 0u, 0u) / 4u;
  let scale = inverseSqrt(f32(HEAD_DIM));

  // One vec4 of dimensions for each of the four heads.
  var acc: array<array<vec4f, 4>, DIM4>;
  var largest = vec4f(-3.0e38);
  var sum = vec4f();
  let end = select(min((split + 1u) * SPLIT, at.position + 1u), at.position + 1u, wide);
  // Four positions at a time; those past the end repeat the last and weigh nothing.
  for (var p = max(split * SPLIT, first); p < end; p += 4u) {
    let slot = kv_slots(min(p + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(end - 1u)));
    // Scores of four heads at each position.
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    let key = slot * KEY4;
    var d = 0u;
    for (var k = k_at; k < k_at + DIM4 * CAPACITY; k += KEY4 * CAPACITY) {
      for (var i = 0u; i < KEY4; i++) {
        let q0 = q[q_at.x + d];
        var q1 = vec4f();
        var q2 = vec4f();
        var q3 = vec4f();
        if (GROUP > 1u) {
          q1 = q[q_at.y + d];
        }
        if (GROUP > 2u) {
          q2 = q[q_at.z + d];
        }
        if (GROUP > 3u) {
          q3 = q[q_at.w + d];
        }
        let k0 = kv_load(k + key.x + i);
        let k1 = kv_load(k + key.y + i);
        let k2 = kv_load(k + key.z + i);
        let k3 = kv_load(k + key.w + i);
        s0 += vec4f(dot(q0, k0), dot(q1, k0), dot(q2, k0), dot(q3, k0));
        s1 += vec4f(dot(q0, k1), dot(q1, k1), dot(q2, k1), dot(q3, k1));
        s2 += vec4f(dot(q0, k2), dot(q1, k2), dot(q2, k2), dot(q3, k2));
        s3 += vec4f(dot(q0, k3), dot(q1, k3), dot(q2, k3), dot(q3, k3));
        d++;
      }
    }
    let next = max(largest, max(max(s0, s1), max(s2, s3)) * scale);
    let shrink = exp(largest - next);
    let w0 = exp(s0 * scale - next);
    let w1 = select(vec4f(), exp(s1 * scale - next), p + 1u < end);
    let w2 = select(vec4f(), exp(s2 * scale - next), p + 2u < end);
    let w3 = select(vec4f(), exp(s3 * scale - next), p + 3u < end);
    largest = next;
    sum = sum * shrink + w0 + w1 + w2 + w3;
    let skip = slot * DIM4;
    for (var v = v_at; v < v_at + DIM4; v++) {
      let d = v - v_at;
      let v0 = kv_load(v + skip.x);
      let v1 = kv_load(v + skip.y);
      let v2 = kv_load(v + skip.z);
      let v3 = kv_load(v + skip.w);
      for (var h = 0u; h < min(4u, GROUP); h++) {
        acc[d][h] = acc[d][h] * shrink[h] + w0[h] * v0 + w1[h] * v1 + w2[h] * v2 + w3[h] * v3;
      }
    }
  }
  for (var h = 0u; h < min(4u, GROUP - quad * 4u); h++) {
    for (var v = v_at; v < v_at + DIM4; v++) {
      leave(row, head[h], split, v - v_at, acc[v - v_at][h], largest[h], sum[h], splits);
    }
  }
}
