// Rows of x (rows, K) times weights (N, K) on CPUs that play GPU: the projection for few rows, bound by reading the weights once. A
// thread has ROWS (4 or 8) weight rows and TOKENS (1, 4 or 8) rows of x; with NORM, x is RMS-normalised on the way:
// sum(w * gain * x) * rsqrt(mean(x^2)). Sums are multiplied with FACTOR.
#import step
#import WEIGHT
#import X
#import OUT

// (ROWS / 4, TOKENS), each of four weight rows.
const SUMS = TOKENS * ROWS / 4u;

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

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let lane = x_lane();
  let v = ((wid.y + wid.z * grid.y) * WG + lid) * ROWS;
  // A norm before has left only the rows that are wanted.
  let first = select(0u, step.first, HEAD && NORM);
  let count = select(step.rows, step.count, HEAD);
  let token = wid.x * TOKENS;
  let four = vec4<u32>(token, token + 1u, token + 2u, token + 3u);
  let at = (first + min(four, vec4<u32>(count - 1u))) * X_STRIDE4;
  let at_high = (first + min(four + 4u, vec4<u32>(count - 1u))) * X_STRIDE4;
  let weight_at = weight_rows(v) * UNITS;
  let weight_at_next = weight_rows(v + 4u) * UNITS;
  var sums: array<vec4f, SUMS>;
  var square = vec4f();
  for (var u = 0u; u < UNITS; u++) {
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
    // Indices are constants, so that the sums can be registers; where they would be past the end, the code is not run.
    sums[0] += dots(w, tokens.u0);
    if (TOKENS > 1u) {
      sums[1u % SUMS] += dots(w, tokens.u1);
      sums[2u % SUMS] += dots(w, tokens.u2);
      sums[3u % SUMS] += dots(w, tokens.u3);
    }
    if (ROWS > 4u) {
      sums[TOKENS % SUMS] += dots(w_next, tokens.u0);
    }
    if (ROWS > 4u && TOKENS > 1u) {
      sums[(TOKENS + 1u) % SUMS] += dots(w_next, tokens.u1);
      sums[(TOKENS + 2u) % SUMS] += dots(w_next, tokens.u2);
      sums[(TOKENS + 3u) % SUMS] += dots(w_next, tokens.u3);
    }
    if (TOKENS > 4u) {
      let more = x_rows(at_high, u, lane);
      sums[4u % SUMS] += dots(w, more.u0);
      sums[5u % SUMS] += dots(w, more.u1);
      sums[6u % SUMS] += dots(w, more.u2);
      sums[7u % SUMS] += dots(w, more.u3);
      if (ROWS > 4u) {
        sums[12u % SUMS] += dots(w_next, more.u0);
        sums[13u % SUMS] += dots(w_next, more.u1);
        sums[14u % SUMS] += dots(w_next, more.u2);
        sums[15u % SUMS] += dots(w_next, more.u3);
      }
    }
  }
  var scale = vec4f(1.0);
  if (NORM) {
    scale = inverseSqrt(square / f32(K) + EPS);
  }
  // A copy, for it is indexed; the epilogue, which is long, is compiled once.
  var done = sums;
  for (var i = 0u; i < SUMS; i++) {
    let sum = done[i] * (FACTOR * scale[i % TOKENS % 4u]);
    let r = token + i % TOKENS;
    if (r < count) {
      finish(r, v + i / TOKENS * 4u, sum);
    }
  }
}
