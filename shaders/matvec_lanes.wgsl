// Rows of x (rows, K) times weights (N, K) on GPUs: the projection for few rows, bound by reading the weights once, 16 bytes at a
// time. LANES threads share four weight rows and TOKENS (1, 2, 4 or 8) rows of x; with NORM, x is RMS-normalised on the way:
// sum(w * gain * x) * rsqrt(mean(x^2)). Sums are multiplied with FACTOR.
//
// Eight lanes are neighbours, the others are threads further on: neighbours read the same eight places of x for several weight
// rows. They add up by subgroups, of which SUB (1 to 8) are sure to be together whatever the size is; all else, sums of squares
// too, goes through workgroup memory at once, behind one barrier.
#import step
#import WEIGHT
#import four
#import ADD
#import OUT

const NEAR = 8u;
const GROUPS = WG / LANES;
const TRIPS = (SPANS + LANES - 1u) / LANES;
const SPAN4 = SPAN / 4u;
const SPAN_UNITS = SPAN / UNIT;
// Partial sums of a row, and of the squares of a token.
const PARTS = LANES / SUB;
const SHARE = WG / TOKENS;
const SQUARES = SHARE / SUB;

var<workgroup> parts: array<vec4f, WG / SUB * TOKENS>;
var<workgroup> squares: array<f32, WG / SUB>;

struct Spans {
  s0: Span,
  s1: Span,
  s2: Span,
  s3: Span,
}

fn units_of(spans: Spans, unit: u32) -> Four {
  return Four(
    span_unit(spans.s0, unit),
    span_unit(spans.s1, unit),
    span_unit(spans.s2, unit),
    span_unit(spans.s3, unit),
  );
}

// Scales of four rows, and what is added: of the first half of a span, and of the second.
struct Scales {
  by: vec4f,
  least: vec4f,
  by2: vec4f,
  least2: vec4f,
}

fn scales_at(at: vec4<u32>, s: u32) -> Scales {
  let a = span_scales(at.x, s);
  let b = span_scales(at.y, s);
  let c = span_scales(at.z, s);
  let d = span_scales(at.w, s);
  return Scales(
    vec4f(a.x, b.x, c.x, d.x),
    vec4f(a.y, b.y, c.y, d.y),
    vec4f(a.z, b.z, c.z, d.z),
    vec4f(a.w, b.w, c.w, d.w),
  );
}

fn x_at(at: u32) -> Unit {
  var unit = Unit();
  unit.a = x[at];
  if (UNIT4 > 1u) {
    unit.b = x[at + 1u];
  }
  return unit;
}

fn gain_at(at: u32) -> Unit {
  var unit = Unit();
  unit.a = vectors[at];
  if (UNIT4 > 1u) {
    unit.b = vectors[at + 1u];
  }
  return unit;
}

fn total(unit: Unit) -> f32 {
  var sum = unit.a.x + unit.a.y + unit.a.z + unit.a.w;
  if (UNIT4 > 1u) {
    sum += unit.b.x + unit.b.y + unit.b.z + unit.b.w;
  }
  return sum;
}

// One sum after the other: a product each that compilers fuse with its addition.
fn add_dot(w: Unit, x: Unit, before: f32) -> f32 {
  var sum = w.a.x * x.a.x + before;
  sum = w.a.y * x.a.y + sum;
  sum = w.a.z * x.a.z + sum;
  sum = w.a.w * x.a.w + sum;
  if (UNIT4 > 1u) {
    sum = w.b.x * x.b.x + sum;
    sum = w.b.y * x.b.y + sum;
    sum = w.b.z * x.b.z + sum;
    sum = w.b.w * x.b.w + sum;
  }
  return sum;
}

fn add_dots(w: Four, x: Unit, before: vec4f) -> vec4f {
  return vec4f(
    add_dot(w.u0, x, before.x),
    add_dot(w.u1, x, before.y),
    add_dot(w.u2, x, before.z),
    add_dot(w.u3, x, before.w),
  );
}

// What one token's sums are made of: of codes, and of x, whose share what is added to codes has.
struct Sums {
  codes: vec4f,
  x: f32,
}

fn add_unit(sums: Sums, spans: Spans, unit: u32, at: u32, place: u32) -> Sums {
  var own = x_at(at + place + unit * UNIT4);
  if (NORM) {
    own = unit_product(own, gain_at(place + unit * UNIT4));
  }
  return Sums(add_dots(units_of(spans, unit), own, sums.codes), sums.x + total(own));
}

fn scaled_unit(w: Unit, by: f32, least: f32) -> Unit {
  return Unit(by * w.a + least, by * w.b + least);
}

// The weights themselves, times the gain.
fn weights_of(spans: Spans, unit: u32, scales: Scales, place: u32) -> Four {
  var w = units_of(spans, unit);
  if (SCALED) {
    let second = HALVES > 1u && unit * HALVES >= SPAN_UNITS;
    let by = select(scales.by, scales.by2, second);
    let least = select(scales.least, scales.least2, second);
    w = Four(
      scaled_unit(w.u0, by.x, least.x),
      scaled_unit(w.u1, by.y, least.y),
      scaled_unit(w.u2, by.z, least.z),
      scaled_unit(w.u3, by.w, least.w),
    );
  }
  if (NORM) {
    let gain = gain_at(place);
    w = Four(
      unit_product(w.u0, gain),
      unit_product(w.u1, gain),
      unit_product(w.u2, gain),
      unit_product(w.u3, gain),
    );
  }
  return w;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let lane = lid % NEAR + NEAR * (lid / (NEAR * GROUPS));
  let group = lid / NEAR % GROUPS;
  let quad = (wid.y + wid.z * grid.y) * GROUPS;
  // A norm before has left only the rows that are wanted.
  let first = select(0u, step.first, HEAD && NORM);
  let count = select(step.rows, step.count, HEAD);
  let token = wid.x * TOKENS;
  let four = token + vec4<u32>(0u, 1u, 2u, 3u);
  let at = (first + min(four, vec4<u32>(count - 1u))) * X_STRIDE4;
  let at_high = (first + min(four + 4u, vec4<u32>(count - 1u))) * X_STRIDE4;
  let weight_at = weight_rows(4u * (quad + group)) * SPANS;
  var square = 0.0;
  if (NORM) {
    // Each thread has a share of one token.
    let own = (first + min(token + lid / SHARE, count - 1u)) * X_STRIDE4;
    for (var i = 0u; i < (X_STRIDE4 + SHARE - 1u) / SHARE; i++) {
      let place = i * SHARE + lid % SHARE;
      if (X_STRIDE4 % SHARE == 0u || place < X_STRIDE4) {
        let value = x[own + place];
        square += dot(value, value);
      }
    }
  }
  var sums: array<vec4f, TOKENS>;
  for (var trip = 0u; trip < TRIPS; trip++) {
    let s = trip * LANES + lane;
    if (SPANS % LANES == 0u || s < SPANS) {
      let here = weight_at + s;
      let spans = Spans(span_at(here.x), span_at(here.y), span_at(here.z), span_at(here.w));
      var scales: Scales;
      if (SCALED && TOKENS > 1u) {
        scales = scales_at(here, s);
      }
      let place = s * SPAN4;
      if (TOKENS == 1u && !SCALED) {
        sums[0] = add_unit(Sums(sums[0], 0.0), spans, 0u, at.x, place).codes;
      } else if (TOKENS == 1u) {
        // Scales are for sums of codes: sum(w x) = by * sum(code x) + least * sum(x).
        var low = add_unit(Sums(), spans, 0u, at.x, place);
        low = add_unit(low, spans, 1u, at.x, place);
        var high = low;
        if (HALVES > 1u) {
          high = Sums();
        }
        high = add_unit(high, spans, 2u, at.x, place);
        high = add_unit(high, spans, 3u, at.x, place);
        let xs = vec2f(low.x, high.x);
        sums[0] = vec4f(
          span_add(here.x, s, vec2f(low.codes.x, high.codes.x), xs, sums[0].x),
          span_add(here.y, s, vec2f(low.codes.y, high.codes.y), xs, sums[0].y),
          span_add(here.z, s, vec2f(low.codes.z, high.codes.z), xs, sums[0].z),
          span_add(here.w, s, vec2f(low.codes.w, high.codes.w), xs, sums[0].w),
        );
      } else {
        for (var unit = 0u; unit < SPAN_UNITS; unit++) {
          let u = place + unit * UNIT4;
          let w = weights_of(spans, unit, scales, u);
          // Indices are constants, so that the sums can be registers; where they would be past the end, the code is not run.
          sums[0] = add_dots(w, x_at(at.x + u), sums[0]);
          sums[1u % TOKENS] = add_dots(w, x_at(at.y + u), sums[1u % TOKENS]);
          if (TOKENS > 2u) {
            sums[2u % TOKENS] = add_dots(w, x_at(at.z + u), sums[2u % TOKENS]);
            sums[3u % TOKENS] = add_dots(w, x_at(at.w + u), sums[3u % TOKENS]);
          }
          if (TOKENS > 4u) {
            sums[4u % TOKENS] = add_dots(w, x_at(at_high.x + u), sums[4u % TOKENS]);
            sums[5u % TOKENS] = add_dots(w, x_at(at_high.y + u), sums[5u % TOKENS]);
            sums[6u % TOKENS] = add_dots(w, x_at(at_high.z + u), sums[6u % TOKENS]);
            sums[7u % TOKENS] = add_dots(w, x_at(at_high.w + u), sums[7u % TOKENS]);
          }
        }
      }
    }
  }
  // A copy, for it is indexed.
  var done = sums;
  for (var t = 0u; t < TOKENS; t++) {
    let sum = add_near(done[t]);
    if (lid % SUB == 0u) {
      parts[(group * TOKENS + t) * PARTS + lane / SUB] = sum;
    }
  }
  if (NORM) {
    let sum = add_near(vec4f(square));
    if (lid % SUB == 0u) {
      squares[lid / SUB] = sum.x;
    }
  }
  workgroupBarrier();
  // A thread for each four outputs of a token.
  let own = lid / GROUPS;
  if (own < TOKENS && token + own < count) {
    let begin = (lid % GROUPS * TOKENS + own) * PARTS;
    var sum = vec4f();
    for (var i = 0u; i < PARTS; i++) {
      sum += parts[begin + i];
    }
    var by = FACTOR;
    if (NORM) {
      var all = 0.0;
      for (var i = 0u; i < SQUARES; i++) {
        all += squares[own * SQUARES + i];
      }
      by *= inverseSqrt(all / f32(K) + EPS);
    }
    finish(token + own, 4u * (quad + lid % GROUPS), by * sum);
  }
}
