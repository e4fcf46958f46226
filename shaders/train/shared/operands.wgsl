// a and b of a product as they lie in memory, and quads: four neighbours of a row. Rows and quads past the last are the last again.
#import A
#import B
#import BIAS
#import OUT

struct Quads {
  a: vec4f,
  b: vec4f,
  c: vec4f,
  d: vec4f,
}

const A_ROWS = select(M, K, A_TURNED);
const A_COLS = select(K, M, A_TURNED);
const B_ROWS = select(K, N, B_TURNED);
const B_COLS = select(N, K, B_TURNED);

fn turned(q: Quads) -> Quads {
  return Quads(
    vec4f(q.a.x, q.b.x, q.c.x, q.d.x),
    vec4f(q.a.y, q.b.y, q.c.y, q.d.y),
    vec4f(q.a.z, q.b.z, q.c.z, q.d.z),
    vec4f(q.a.w, q.b.w, q.c.w, q.d.w),
  );
}

// Quads of b are 0 past the last of K: what a has there is whatever.
fn b_within(row: u32, quad: u32, least: u32) -> vec4f {
  let value = b_quad(min(row, B_ROWS - 1u), min(quad, (B_COLS - 1u) / 4u));
  if (K % least == 0u) {
    return value;
  }
  if (B_TURNED) {
    return select(vec4f(), value, 4u * quad + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(K));
  }
  return select(vec4f(), value, row < K);
}

fn a_within(row: u32, quad: u32) -> vec4f {
  return a_quad(min(row, A_ROWS - 1u), min(quad, (A_COLS - 1u) / 4u));
}

// Leaves four neighbouring sums of a row.
fn finish(row: u32, quad: u32, sums: vec4f) {
  if (row < M && 4u * quad < N) {
    out_put(row, quad, sums + bias_quad(quad));
  }
}
