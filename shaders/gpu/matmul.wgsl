// Rows of x (rows, K) times weights (N, K) for many rows. A workgroup makes a tile of TALL rows of x by WIDE weight rows, DEPTH of K
// at a time in workgroup memory. A thread adds up eight rows of x by ACROSS (4 or 8) weight rows in named registers; of a tile that
// has fewer of these than threads, each is of GROUPS threads, which take a part of every DEPTH each. With HEAD, x is already the
// rows that are wanted. Sums are multiplied with FACTOR.
#import step
#import WEIGHT
#import X_TILE
#import W_TILE
#import OUT
#import SUMS

// Threads along the tile, and those that have all of it between them.
const THREADS_X = TALL / 8u;
const THREADS_W = WIDE / ACROSS;
const MEMBERS = THREADS_X * THREADS_W;
const GROUPS = WG / MEMBERS;
// A thread brings eight k of a row at a time; so many threads are neighbours along K. What is brought in so many turns.
const EIGHTS = DEPTH / 8u;
const BRINGING = WG / EIGHTS;
const X_TURNS = (TALL + BRINGING - 1u) / BRINGING;
const W_TURNS = (WIDE + BRINGING - 1u) / BRINGING;
const SLABS = UNITS * UNIT / DEPTH;
// Threads with many registers have the next slab on its way while they multiply one, and several steps.
const AHEAD = ACROSS > 4u;
const STEPS = select(1u, 4u, AHEAD);
// From one thread's first quad of weight rows to the next one's.
const W_OWN = select(1u, W_NEAR, ACROSS > 4u);
// A group multiplies steps of a slab so many times.
const MULTIPLIES = DEPTH / GROUPS / STEPS;

// Eight neighbours along K of a row, as the tiles have them.
struct XEight {
  a: XQuad,
  b: XQuad,
}

struct WEight {
  a: WQuad,
  b: WQuad,
}

// A power of two that keeps x, normed with these gains, within f16.
fn x_scale() -> f32 {
  if (RANGED) {
    return vectors[X_STRIDE4].x;
  }
  return 1.0;
}

fn factor() -> f32 {
  return FACTOR / x_scale();
}

fn bring_x(row: u32, at: u32) -> XEight {
  let unit = row * X_STRIDE4 + 2u * at;
  return XEight(XQuad(x_scale() * x[unit]), XQuad(x_scale() * x[unit + 1u]));
}

// The j-th of the e-th eight k is the (j * EIGHTS + e)-th of a slab, of both.
fn put_x(row: u32, eight: u32, values: XEight) {
  if (TALL % BRINGING > 0u && row >= TALL) {
    return;
  }
  x_put(eight, row, values.a.x);
  x_put(EIGHTS + eight, row, values.a.y);
  x_put(2u * EIGHTS + eight, row, values.a.z);
  x_put(3u * EIGHTS + eight, row, values.a.w);
  x_put(4u * EIGHTS + eight, row, values.b.x);
  x_put(5u * EIGHTS + eight, row, values.b.y);
  x_put(6u * EIGHTS + eight, row, values.b.z);
  x_put(7u * EIGHTS + eight, row, values.b.w);
}

fn weight_row(v: u32) -> u32 {
  return weight_rows(v - v % 4u)[v % 4u];
}

fn bring_w(row: u32, at: u32) -> WEight {
  if (UNIT > 4u) {
    let unit = weight_unit(row * UNITS + at);
    return WEight(WQuad(unit.a), WQuad(unit.b));
  }
  let low = weight_unit(row * UNITS + 2u * at);
  let high = weight_unit(row * UNITS + 2u * at + 1u);
  return WEight(WQuad(low.a), WQuad(high.a));
}

fn put_w(row: u32, eight: u32, values: WEight) {
  if (WIDE % BRINGING > 0u && row >= WIDE) {
    return;
  }
  w_put(eight, row, values.a.x);
  w_put(EIGHTS + eight, row, values.a.y);
  w_put(2u * EIGHTS + eight, row, values.a.z);
  w_put(3u * EIGHTS + eight, row, values.a.w);
  w_put(4u * EIGHTS + eight, row, values.b.x);
  w_put(5u * EIGHTS + eight, row, values.b.y);
  w_put(6u * EIGHTS + eight, row, values.b.z);
  w_put(7u * EIGHTS + eight, row, values.b.w);
}

// The sums of a thread: rows 0..7 by four weight rows (a) and four others (b).
struct Sums {
  a0: vec4f,
  b0: vec4f,
  a1: vec4f,
  b1: vec4f,
  a2: vec4f,
  b2: vec4f,
  a3: vec4f,
  b3: vec4f,
  a4: vec4f,
  b4: vec4f,
  a5: vec4f,
  b5: vec4f,
  a6: vec4f,
  b6: vec4f,
  a7: vec4f,
  b7: vec4f,
}

fn multiply(sums: ptr<function, Sums>, x_at: u32, w_at: u32) {
  let p = x_low(x_at);
  let q = x_high(x_at);
  let a = w_low(w_at);
  (*sums).a0 += p.x * a;
  (*sums).a1 += p.y * a;
  (*sums).a2 += p.z * a;
  (*sums).a3 += p.w * a;
  (*sums).a4 += q.x * a;
  (*sums).a5 += q.y * a;
  (*sums).a6 += q.z * a;
  (*sums).a7 += q.w * a;
  if (ACROSS > 4u) {
    let b = w_high(w_at);
    (*sums).b0 += p.x * b;
    (*sums).b1 += p.y * b;
    (*sums).b2 += p.z * b;
    (*sums).b3 += p.w * b;
    (*sums).b4 += q.x * b;
    (*sums).b5 += q.y * b;
    (*sums).b6 += q.z * b;
    (*sums).b7 += q.w * b;
  }
}

// What a thread brings of a slab, in registers; what has no turn is not used.
struct Slab {
  x0: XEight,
  x1: XEight,
  x2: XEight,
  x3: XEight,
  w0: WEight,
  w1: WEight,
  w2: WEight,
  w3: WEight,
}

// Rows past the last bring the last again, whose sums nobody keeps.
fn x_own(token: u32, count: u32, at: u32) -> XEight {
  return bring_x(min(token, count - 1u), at);
}

fn w_own(v: u32, at: u32) -> WEight {
  return bring_w(weight_row(v), at);
}

fn bring(token: u32, count: u32, v: u32, at: u32) -> Slab {
  var slab = Slab();
  slab.x0 = x_own(token, count, at);
  if (X_TURNS > 1u) {
    slab.x1 = x_own(token + BRINGING, count, at);
  }
  if (X_TURNS > 2u) {
    slab.x2 = x_own(token + 2u * BRINGING, count, at);
    slab.x3 = x_own(token + 3u * BRINGING, count, at);
  }
  slab.w0 = w_own(v, at);
  if (W_TURNS > 1u) {
    slab.w1 = w_own(v + BRINGING, at);
  }
  if (W_TURNS > 2u) {
    slab.w2 = w_own(v + 2u * BRINGING, at);
    slab.w3 = w_own(v + 3u * BRINGING, at);
  }
  return slab;
}

fn put(own: u32, eight: u32, slab: Slab) {
  put_x(own, eight, slab.x0);
  if (X_TURNS > 1u) {
    put_x(own + BRINGING, eight, slab.x1);
  }
  if (X_TURNS > 2u) {
    put_x(own + 2u * BRINGING, eight, slab.x2);
    put_x(own + 3u * BRINGING, eight, slab.x3);
  }
  put_w(own, eight, slab.w0);
  if (W_TURNS > 1u) {
    put_w(own + BRINGING, eight, slab.w1);
  }
  if (W_TURNS > 2u) {
    put_w(own + 2u * BRINGING, eight, slab.w2);
    put_w(own + 3u * BRINGING, eight, slab.w3);
  }
}

// Where registers are few, each turn is on its own: compilers do not move what it reads before a condition that they cannot know.
fn bring_and_put(own: u32, eight: u32, token0: u32, count: u32, v0: u32, at: u32) {
  for (var i = 0u; i < X_TURNS; i++) {
    let row = own + i * BRINGING;
    if (token0 + row < count) {
      put_x(row, eight, bring_x(token0 + row, at));
    }
  }
  for (var i = 0u; i < W_TURNS; i++) {
    let row = own + i * BRINGING;
    if (v0 + row < N + 3u) {
      put_w(row, eight, w_own(v0 + row, at));
    }
  }
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let count = select(step.rows, step.count, HEAD);
  let v0 = (wid.y + wid.z * grid.y) * WIDE;
  let token0 = wid.x * TALL;
  let eight = lid % EIGHTS;
  let own = lid / EIGHTS;
  let group = lid / MEMBERS;
  let x_at = group * (DEPTH / GROUPS) * X_ROW + lid / THREADS_W % THREADS_X;
  let w_at = group * (DEPTH / GROUPS) * W_ROW + lid % THREADS_W;
  var sums = Sums();
  var ahead = Slab();
  if (AHEAD) {
    ahead = bring(token0 + own, count, v0 + own, eight);
  }
  for (var slab = 0u; slab < SLABS; slab++) {
    if (AHEAD) {
      put(own, eight, ahead);
    } else {
      bring_and_put(own, eight, token0, count, v0, slab * EIGHTS + eight);
    }
    workgroupBarrier();
    if (AHEAD) {
      // Behind the last slab, the last again.
      ahead = bring(token0 + own, count, v0 + own, min(slab + 1u, SLABS - 1u) * EIGHTS + eight);
    }
    for (var i = 0u; i < MULTIPLIES; i++) {
      // Always so; as bring_and_put, where the loop is short enough that compilers make it one block.
      if (AHEAD || MULTIPLIES >= 16u || i < 16u * count) {
        for (var j = 0u; j < STEPS; j++) {
          let k = i * STEPS + j;
          multiply(&sums, x_at + k * X_ROW, w_at + k * W_ROW);
        }
      }
    }
    workgroupBarrier();
  }
  finish_sums(&sums, lid, token0, v0, count);
}
