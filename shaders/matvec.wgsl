// Rows of x (rows, K) times weights (N, K): the projection for few rows, bound by reading the weights once. LANES neighbours
// share four weight rows and TOKENS rows of x; with NORM, x is RMS-normalised on the way: sum(w * gain * x) * rsqrt(mean(x^2)).
#import step
#import WEIGHT
#import REDUCE
#import OUT

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
// The norm's gain (K, padded), then the bias (N).
@group(0) @binding(3) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(8) var<uniform> step: Step;

struct Sums {
  // Four weight rows for each row of x.
  t0: vec4f,
  t1: vec4f,
  t2: vec4f,
  t3: vec4f,
  // Sum of squares of each row of x.
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

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let v = ((wid.x + wid.y * grid.x) * (WG / LANES) + lid / LANES) * 4u;
  // A norm before has left only the rows that are wanted.
  let first = select(0u, step.first, HEAD && NORM);
  let count = select(step.rows, step.count, HEAD);
  let token = wid.z * TOKENS;
  let at = (first + min(vec4<u32>(token, token + 1u, token + 2u, token + 3u), vec4<u32>(count - 1u))) * X_STRIDE4;
  let row = weight_rows(v) * K8;
  var sums = Sums();
  for (var u = lid % LANES; u < K8; u += LANES) {
    let w0 = weight_unit(row.x + u);
    let w1 = weight_unit(row.y + u);
    let w2 = weight_unit(row.z + u);
    let w3 = weight_unit(row.w + u);
    var gain = Unit(vec4f(1.0), vec4f(1.0));
    if (NORM) {
      gain = Unit(vectors[2u * u], vectors[2u * u + 1u]);
    }
    var a = x[at.x + 2u * u];
    var b = x[at.x + 2u * u + 1u];
    sums.t0 += products(w0, w1, w2, w3, a * gain.a, b * gain.b);
    sums.squares.x += dot(a, a) + dot(b, b);
    if (TOKENS > 1u) {
      a = x[at.y + 2u * u];
      b = x[at.y + 2u * u + 1u];
      sums.t1 += products(w0, w1, w2, w3, a * gain.a, b * gain.b);
      sums.squares.y += dot(a, a) + dot(b, b);
      a = x[at.z + 2u * u];
      b = x[at.z + 2u * u + 1u];
      sums.t2 += products(w0, w1, w2, w3, a * gain.a, b * gain.b);
      sums.squares.z += dot(a, a) + dot(b, b);
      a = x[at.w + 2u * u];
      b = x[at.w + 2u * u + 1u];
      sums.t3 += products(w0, w1, w2, w3, a * gain.a, b * gain.b);
      sums.squares.w += dot(a, a) + dot(b, b);
    }
  }
  var scale = vec4f(1.0);
  if (NORM) {
    scale = inverseSqrt(reduce(sums.squares, lid) / f32(K) + EPS);
  }
  var t0 = reduce(sums.t0, lid) * scale.x;
  var t1 = vec4f();
  var t2 = vec4f();
  var t3 = vec4f();
  if (TOKENS > 1u) {
    t1 = reduce(sums.t1, lid) * scale.y;
    t2 = reduce(sums.t2, lid) * scale.z;
    t3 = reduce(sums.t3, lid) * scale.w;
  }
  if (lid % LANES != 0u) {
    return;
  }
  // The sums move up instead of being indexed, and the epilogue, which is long, is compiled once.
  for (var row = token; row < min(token + TOKENS, count); row++) {
    finish(row, v, t0);
    t0 = t1;
    t1 = t2;
    t2 = t3;
  }
}
