// What a tile of attention holds where the KV cache is f32: words are numbers, and a unit of K or V is four dimensions of one
// position. As in attention_tile_f16.wgsl.
alias Word = f32;
alias Unit = vec4f;
const UNIT4 = 1u;
const UNIT_POSITIONS = 1u;
const TILE_UNITS = select(256u, 512u, DIM4 <= 16u);

fn query_scale(largest: u32) -> vec2f {
  return vec2f(1.0);
}

fn put_queries(d4: u32, four: u32, q0: vec4f, q1: vec4f, q2: vec4f, q3: vec4f) {
  let at = 4u * d4 * FOURS + four;
  queries[at] = vec4f(q0.x, q1.x, q2.x, q3.x);
  queries[at + FOURS] = vec4f(q0.y, q1.y, q2.y, q3.y);
  queries[at + 2u * FOURS] = vec4f(q0.z, q1.z, q2.z, q3.z);
  queries[at + 3u * FOURS] = vec4f(q0.w, q1.w, q2.w, q3.w);
}

fn k_unit(k_at: u32, unit: u32, slot: u32) -> Unit {
  return kv[k_at + unit * CAPACITY + slot];
}

fn v_unit(v_at: u32, d4: u32, slots: vec2<u32>) -> Unit {
  return kv[v_at + slots.x * DIM4 + d4];
}

fn words(k0: Word, k1: Word) -> vec2f {
  return vec2f(k0, k1);
}

fn dots(scores: vec2f, q: Word, k: vec2f) -> vec2f {
  return scores + q * k;
}

const PAIR_ROWS = 2u;

fn v_pair(at: u32) -> mat2x4f {
  return mat2x4f(tile[at], tile[at + LANES]);
}
