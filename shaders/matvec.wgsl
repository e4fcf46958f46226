// Rows of x (rows, K) times weights (N, K): the projection for few rows, bound by reading the weights once. LANES neighbours
// share four weight rows and TOKENS (1, 4 or 8) rows of x; with NORM, x is RMS-normalised on the way:
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

// Of four rows of x.
struct Sums {
  // Four weight rows for each.
  t0: vec4f,
  t1: vec4f,
  t2: vec4f,
  t3: vec4f,
  squares: vec4f,
}

fn products(w0: Unit, w1: Unit, w2: Unit, w3: Unit, a: vec4f, b: vec4f) -> vec4f {
  return vec4f(
    dot(w0.a, a) + dot(w0.b, b),
    dot(w1.a, a) + dot(w1.b, b),
    dot(w2.a, a) + dot(w2.b, b),
    dot(w3.a, a) + dot(w3.b, b),
  );
}

fn add(sums: ptr<function, Sums>, w0: Unit, w1: Unit, w2: Unit, w3: Unit, gain: Unit, x: Four) {
  (*sums).t0 += products(w0, w1, w2, w3, x.a0 * gain.a, x.b0 * gain.b);
  if (TOKENS > 1u) {
    (*sums).t1 += products(w0, w1, w2, w3, x.a1 * gain.a, x.b1 * gain.b);
    (*sums).t2 += products(w0, w1, w2, w3, x.a2 * gain.a, x.b2 * gain.b);
    (*sums).t3 += products(w0, w1, w2, w3, x.a3 * gain.a, x.b3 * gain.b);
  }
  if (NORM) {
    (*sums).squares += vec4f(
      dot(x.a0, x.a0) + dot(x.b0, x.b0),
      dot(x.a1, x.a1) + dot(x.b1, x.b1),
      dot(x.a2, x.a2) + dot(x.b2, x.b2),
      dot(x.a3, x.a3) + dot(x.b3, x.b3),
    );
  }
}

// The sums over all lanes, with the norm's scale.
fn total(sums: Sums, lid: u32) -> Sums {
  var scale = vec4f(1.0);
  if (NORM) {
    scale = inverseSqrt(reduce(sums.squares, lid) / f32(K) + EPS);
  }
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
  let v = ((wid.x + wid.y * grid.x) * (WG / LANES) + lid / LANES) * 4u;
  // A norm before has left only the rows that are wanted.
  let first = select(0u, step.first, HEAD && NORM);
  let count = select(step.rows, step.count, HEAD);
  let token = wid.z * TOKENS;
  let four = vec4<u32>(token, token + 1u, token + 2u, token + 3u);
  let at = (first + min(four, vec4<u32>(count - 1u))) * X_STRIDE4;
  let at_high = (first + min(four + 4u, vec4<u32>(count - 1u))) * X_STRIDE4;
  let row = weight_rows(v) * K8;
  var low = Sums();
  var high = Sums();
  for (var u = lid % LANES; u < K8; u += LANES) {
    let w0 = weight_unit(row.x + u);
    let w1 = weight_unit(row.y + u);
    let w2 = weight_unit(row.z + u);
    let w3 = weight_unit(row.w + u);
    var gain = Unit(vec4f(1.0), vec4f(1.0));
    if (NORM) {
      gain = Unit(vectors[2u * u], vectors[2u * u + 1u]);
    }
    add(&low, w0, w1, w2, w3, gain, x_rows(at, u, lane));
    if (TOKENS > 4u) {
      add(&high, w0, w1, w2, w3, gain, x_rows(at_high, u, lane));
    }
  }
  var sums = total(low, lid);
  if (lid % LANES != 0u) {
    return;
  }
  // The sums move up instead of being indexed, and the epilogue, which is long, is compiled once.
  for (var r = token; r < min(token + TOKENS, count); r++) {
    if (TOKENS > 4u && r == token + 4u) {
      sums = high;
    }
    finish(r, v, sums.t0);
    sums.t0 = sums.t1;
    sums.t1 = sums.t2;
    sums.t2 = sums.t3;
  }
}
