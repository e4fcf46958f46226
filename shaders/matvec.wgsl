// Rows of x (rows, K) times weights (N, K): the projection for few rows, bound by reading the weights once. LANES neighbours
// share ROWS (4 or 8) weight rows and TOKENS (1, 4 or 8) rows of x; with NORM, x is RMS-normalised on the way:
// sum(w * gain * x) * rsqrt(mean(x^2)).
#import step
#import WEIGHT
#import REDUCE
#import X
#import OUT

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
// The norm's gain (K, padded), then the bias (N).
@group(0) @binding(3) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(8) var<uniform> step: Step;

// Of four rows of x, with four weight rows each.
struct Sums {
  t0: vec4f,
  t1: vec4f,
  t2: vec4f,
  t3: vec4f,
}

fn weight_units(at: vec4<u32>, u: u32) -> Four {
  return Four(
    weight_unit(at.x + u),
    weight_unit(at.y + u),
    weight_unit(at.z + u),
    weight_unit(at.w + u),
  );
}

fn dots(w: Four, x: Unit) -> vec4f {
  return vec4f(unit_dot(w.u0, x), unit_dot(w.u1, x), unit_dot(w.u2, x), unit_dot(w.u3, x));
}

fn add(sums: ptr<function, Sums>, w: Four, x: Four) {
  (*sums).t0 += dots(w, x.u0);
  if (TOKENS > 1u) {
    (*sums).t1 += dots(w, x.u1);
    (*sums).t2 += dots(w, x.u2);
    (*sums).t3 += dots(w, x.u3);
  }
}

fn squares(x: Four) -> vec4f {
  var sums = vec4f();
  sums.x = unit_dot(x.u0, x.u0);
  if (TOKENS > 1u) {
    sums.y = unit_dot(x.u1, x.u1);
    sums.z = unit_dot(x.u2, x.u2);
    sums.w = unit_dot(x.u3, x.u3);
  }
  return sums;
}

// x times the norm's gain.
fn gained(x: Four, u: u32) -> Four {
  var gain = Unit();
  gain.a = vectors[UNIT4 * u];
  if (UNIT4 > 1u) {
    gain.b = vectors[UNIT4 * u + 1u];
  }
  var products = Four();
  products.u0 = unit_product(x.u0, gain);
  if (TOKENS > 1u) {
    products.u1 = unit_product(x.u1, gain);
    products.u2 = unit_product(x.u2, gain);
    products.u3 = unit_product(x.u3, gain);
  }
  return products;
}

// The sums over all lanes, with the norm's scale.
fn total(sums: Sums, scale: vec4f, lid: u32) -> Sums {
  var all = Sums();
  all.t0 = reduce(sums.t0, lid) * scale.x;
  if (TOKENS > 1u) {
    all.t1 = reduce(sums.t1, lid) * scale.y;
    all.t2 = reduce(sums.t2, lid) * scale.z;
    all.t3 = reduce(sums.t3, lid) * scale.w;
  }
  return all;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let lane = x_lane();
  let v = ((wid.x + wid.y * grid.x) * (WG / LANES) + lid / LANES) * ROWS;
  // A norm before has left only the rows that are wanted.
  let first = select(0u, step.first, HEAD && NORM);
  let count = select(step.rows, step.count, HEAD);
  let token = wid.z * TOKENS;
  let four = vec4<u32>(token, token + 1u, token + 2u, token + 3u);
  let at = (first + min(four, vec4<u32>(count - 1u))) * X_STRIDE4;
  let at_high = (first + min(four + 4u, vec4<u32>(count - 1u))) * X_STRIDE4;
  let weight_at = weight_rows(v) * UNITS;
  let weight_at_next = weight_rows(v + 4u) * UNITS;
  // Of rows of x up to four and from four, with weight rows up to four and from four.
  var low = Sums();
  var high = Sums();
  var low_next = Sums();
  var high_next = Sums();
  var square = vec4f();
  for (var u = lid % LANES; u < UNITS; u += LANES) {
    let w = weight_units(weight_at, u);
    var w_next = Four();
    if (ROWS > 4u) {
      w_next = weight_units(weight_at_next, u);
    }
    var tokens = x_rows(at, u, lane);
    if (NORM) {
      square += squares(tokens);
      tokens = gained(tokens, u);
    }
    add(&low, w, tokens);
    if (ROWS > 4u) {
      add(&low_next, w_next, tokens);
    }
    if (TOKENS > 4u) {
      let more = x_rows(at_high, u, lane);
      add(&high, w, more);
      if (ROWS > 4u) {
        add(&high_next, w_next, more);
      }
    }
  }
  var scale = vec4f(1.0);
  if (NORM) {
    scale = inverseSqrt(reduce(square, lid) / f32(K) + EPS);
  }
  var sums = total(low, scale, lid);
  if (ROWS > 4u) {
    low_next = total(low_next, scale, lid);
  }
  if (lid % LANES != 0u) {
    return;
  }
  // The sums move up instead of being indexed, and the epilogue, which is long, is compiled once.
  for (var quad = 0u; quad < ROWS; quad += 4u) {
    for (var r = token; r < min(token + TOKENS, count); r++) {
      if (TOKENS > 4u && r == token + 4u) {
        sums = high;
      }
      finish(r, v + quad, sums.t0);
      sums.t0 = sums.t1;
      sums.t1 = sums.t2;
      sums.t2 = sums.t3;
    }
    sums = low_next;
    high = high_next;
  }
}
