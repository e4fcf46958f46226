// What a tile of attention holds where the KV cache is f16: words of two f16, a unit of four words in 16 bytes. Of K a unit has
// eight dimensions of a position, of V four dimensions of two neighbouring positions, both as they are in the cache; of the queries
// two dimensions of four. Those are f16 here too, each query times a power of two that brings its largest number near f16's
// largest, so that none is too large and none that matters too small.
alias Word = u32;
alias Unit = vec4<u32>;
// Vectors of four dimensions in a unit of K, and positions in one of V.
const UNIT4 = 2u;
const UNIT_POSITIONS = 2u;
const TILE_UNITS = 256u;

// The power of two for a query with this largest number, and what undoes it.
fn query_scale(largest: u32) -> vec2f {
  let exponent = max(largest >> 23u, 15u);
  return vec2f(bitcast<f32>((268u - exponent) << 23u), bitcast<f32>((exponent - 14u) << 23u));
}

// The nearest numbers of 11 bits: drivers pack those exactly, and do not agree on how they round others.
fn nearest(value: vec4f) -> vec4f {
  let bits = bitcast<vec4<u32>>(value);
  let odd = (bits >> vec4<u32>(13u)) & vec4<u32>(1u);
  return bitcast<vec4f>((bits + vec4<u32>(0xfffu) + odd) & vec4<u32>(0xffffe000u));
}

// Four dimensions of four queries, times a power of two each.
fn put_queries(d4: u32, four: u32, q0: vec4f, q1: vec4f, q2: vec4f, q3: vec4f) {
  let a = nearest(q0);
  let b = nearest(q1);
  let c = nearest(q2);
  let d = nearest(q3);
  queries[2u * d4 * FOURS + four] = vec4<u32>(
    pack2x16float(a.xy),
    pack2x16float(b.xy),
    pack2x16float(c.xy),
    pack2x16float(d.xy),
  );
  queries[(2u * d4 + 1u) * FOURS + four] = vec4<u32>(
    pack2x16float(a.zw),
    pack2x16float(b.zw),
    pack2x16float(c.zw),
    pack2x16float(d.zw),
  );
}

// K's dimensions at a slot; past the last, zeros.
fn k_unit(k_at: u32, unit: u32, slot: u32) -> Unit {
  let high = kv[k_at + k_four(min(UNIT4 * unit + 1u, DIM4 - 1u), slot)];
  let there = DIM4 % 2u == 0u || unit < DIM4 / 2u;
  return vec4<u32>(kv[k_at + k_four(UNIT4 * unit, slot)], select(vec2<u32>(), high, there));
}

// Four dimensions of V at two slots, the two numbers of a dimension in one word.
fn v_unit(v_at: u32, d4: u32, slots: vec2<u32>) -> Unit {
  let a = kv[v_at + slots.x * DIM4 + d4];
  let b = kv[v_at + slots.y * DIM4 + d4];
  let low = (a & vec2<u32>(0xffffu)) | (b << vec2<u32>(16u));
  let high = (a >> vec2<u32>(16u)) | (b & vec2<u32>(0xffff0000u));
  return vec4<u32>(low.x, high.x, low.y, high.y);
}

// What a word of K at two positions stands for.
fn words(k0: Word, k1: Word) -> vec4f {
  return vec4f(unpack2x16float(k0), unpack2x16float(k1));
}

// A query's scores at two positions, and what a word adds to them.
fn dots(scores: vec2f, q: Word, k: vec4f) -> vec2f {
  let both = unpack2x16float(q);
  return vec2f(scores.x + both.x * k.x + both.y * k.y, scores.y + both.x * k.z + both.y * k.w);
}

// Rows of the tile that two positions take, and V there.
const PAIR_ROWS = 1u;

fn v_pair(at: u32) -> mat2x4f {
  let v = tile[at];
  let x = unpack2x16float(v.x);
  let y = unpack2x16float(v.y);
  let z = unpack2x16float(v.z);
  let w = unpack2x16float(v.w);
  return mat2x4f(x.x, y.x, z.x, w.x, x.y, y.y, z.y, w.y);
}
