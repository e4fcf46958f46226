// Rows of x (rows, K) times weights (N, K) on GPUs: the projection for few rows, bound by reading the weights once, 16 bytes at a
// time. LANES threads share ROWS (2 or 4) weight rows and TOKENS (1, 2, 4 or 8) rows of x; with NORM, x is RMS-normalised on the way:
// sum(w * gain * x) * rsqrt(mean(x^2)). Sums are multiplied with FACTOR.
//
// Eight lanes are neighbours, the others are threads further on: neighbours read the same eight places of x for several weight
// rows. They add up by subgroups, of which SUB (1 to 8) are sure to be together whatever the size is; all else, sums of squares
// too, goes through workgroup memory at once, behind one barrier.
#import step
#import WEIGHT
#import four
#import x_unit
#import ADD
#import OUT

const NEAR = 8u;
const GROUPS = WG / LANES;
const QUADS = GROUPS * ROWS / 4u;
const TRIPS = (SPANS + LANES - 1u) / LANES;
const SPAN4 = SPAN / 4u;
const LOAD4 = SPAN4 / LOADS;
// Where the second half of a span begins, among the units of its load.
const REST = select(0u, 2u, LOADS == 1u);
// Partial sums of a row, and of the squares of a token.
const PARTS = LANES / SUB;
const SHARE = WG / TOKENS;
const SQUARES = SHARE / SUB;

var<workgroup> parts: array<vec2f, WG / SUB * TOKENS * ROWS / 2u>;
var<workgroup> squares: array<f32, WG / SUB>;

// Of ROWS rows; where there are two, the others are not used.
struct Spans {
  s0: Span,
  s1: Span,
  s2: Span,
  s3: Span,
}

fn spans_at(at: vec4<u32>) -> Spans {
  var spans: Spans;
  spans.s0 = span_at(at.x);
  spans.s1 = span_at(at.y);
  if (ROWS > 2u) {
    spans.s2 = span_at(at.z);
    spans.s3 = span_at(at.w);
  }
  return spans;
}

fn units_of(spans: Spans, unit: u32) -> Four {
  var four: Four;
  four.u0 = span_unit(spans.s0, unit);
  four.u1 = span_unit(spans.s1, unit);
  if (ROWS > 2u) {
    four.u2 = span_unit(spans.s2, unit);
    four.u3 = span_unit(spans.s3, unit);
  }
  return four;
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

// One product after the other, each of which compilers fuse with its addition.
fn add_four(w: vec4f, x: vec4f, before: f32) -> f32 {
  var sum = w.x * x.x + before;
  sum = w.y * x.y + sum;
  sum = w.z * x.z + sum;
  return w.w * x.w + sum;
}

fn add_dot(w: Unit, x: Unit, before: f32) -> f32 {
  var sum = add_four(w.a, x.a, before);
  if (UNIT4 > 1u) {
    sum = add_four(w.b, x.b, sum);
  }
  return sum;
}

fn add_dots(w: Four, x: Unit, before: vec4f) -> vec4f {
  var sums = before;
  sums.x = add_dot(w.u0, x, before.x);
  sums.y = add_dot(w.u1, x, before.y);
  if (ROWS > 2u) {
    sums.z = add_dot(w.u2, x, before.z);
    sums.w = add_dot(w.u3, x, before.w);
  }
  return sums;
}

// What one token's sums are made of: of codes, and of x, whose share what is added to codes has.
struct Sums {
  codes: vec4f,
  x: f32,
}

// The unit of x that is at `place` of a row, times a unit of the weights.
fn add_unit(sums: Sums, spans: Spans, unit: u32, at: u32, place: u32) -> Sums {
  var own = x_unit(at + place);
  if (NORM) {
    own = unit_product(own, gain_at(place));
  }
  return Sums(add_dots(units_of(spans, unit), own, sums.codes), sums.x + total(own));
}

// Four neighbours of a row of weights themselves, times the gain.
fn weights_of(span: Span, at: u32, s: u32, quad: u32, gain: vec4f) -> vec4f {
  var w = span_quad(span, quad);
  if (SCALED) {
    let by = span_scales(at, s);
    let own = select(by.xy, by.zw, HALVES > 1u && 2u * quad >= SPAN4);
    w = own.x * w + own.y;
  }
  if (NORM) {
    w *= gain;
  }
  return w;
}

// Of ROWS rows, a column each.
fn rows_of(spans: Spans, at: vec4<u32>, s: u32, quad: u32, place: u32) -> mat4x4f {
  var gain = vec4f();
  if (NORM) {
    gain = vectors[place];
  }
  var rows: mat4x4f;
  rows[0] = weights_of(spans.s0, at.x, s, quad, gain);
  rows[1] = weights_of(spans.s1, at.y, s, quad, gain);
  if (ROWS > 2u) {
    rows[2] = weights_of(spans.s2, at.z, s, quad, gain);
    rows[3] = weights_of(spans.s3, at.w, s, quad, gain);
  }
  return rows;
}

fn add_quad(w: mat4x4f, x: vec4f, before: vec4f) -> vec4f {
  var sums = before;
  sums.x = add_four(w[0], x, before.x);
  sums.y = add_four(w[1], x, before.y);
  if (ROWS > 2u) {
    sums.z = add_four(w[2], x, before.z);
    sums.w = add_four(w[3], x, before.w);
  }
  return sums;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let lane = lid % NEAR + NEAR * (lid / (NEAR * GROUPS));
  let group = lid / NEAR % GROUPS;
  let quads = (wid.y + wid.z * grid.y) * QUADS;
  // A norm before has left only the rows that are wanted.
  let first = select(0u, step.first, HEAD && NORM);
  let count = select(step.rows, step.count, HEAD);
  let token = wid.x * TOKENS;
  let four = token + vec4<u32>(0u, 1u, 2u, 3u);
  let at = (first + min(four, vec4<u32>(count - 1u))) * X_STRIDE4;
  let at_high = (first + min(four + 4u, vec4<u32>(count - 1u))) * X_STRIDE4;
  var weight_at = weight_rows(4u * (quads + group * ROWS / 4u)) * SPANS;
  if (ROWS == 2u && group % 2u == 1u) {
    weight_at = weight_at.zwxy;
  }
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
      let spans = spans_at(LOADS * here);
      let place = s * SPAN4;
      if (TOKENS == 1u && !SCALED) {
        sums[0] = add_unit(Sums(sums[0], 0.0), spans, 0u, at.x, place).codes;
      } else if (TOKENS == 1u) {
        // Scales are for sums of codes: sum(w x) = by * sum(code x) + least * sum(x).
        var low = add_unit(Sums(), spans, 0u, at.x, place);
        low = add_unit(low, spans, 1u, at.x, place + UNIT4);
        var high = low;
        if (HALVES > 1u) {
          high = Sums();
        }
        var rest = spans;
        if (LOADS > 1u) {
          rest = spans_at(LOADS * here + 1u);
        }
        high = add_unit(high, rest, REST, at.x, place + 2u * UNIT4);
        high = add_unit(high, rest, REST + 1u, at.x, place + 3u * UNIT4);
        let xs = vec2f(low.x, high.x);
        sums[0].x = span_add(here.x, s, vec2f(low.codes.x, high.codes.x), xs, sums[0].x);
        sums[0].y = span_add(here.y, s, vec2f(low.codes.y, high.codes.y), xs, sums[0].y);
        if (ROWS > 2u) {
          sums[0].z = span_add(here.z, s, vec2f(low.codes.z, high.codes.z), xs, sums[0].z);
          sums[0].w = span_add(here.w, s, vec2f(low.codes.w, high.codes.w), xs, sums[0].w);
        }
      } else {
        for (var part = 0u; part < LOADS; part++) {
          let own = spans_at(LOADS * here + part);
          for (var quad = 0u; quad < LOAD4; quad++) {
            let u = place + part * LOAD4 + quad;
            let w = rows_of(own, here, s, quad, u);
            // Indices are constants, so that the sums can be registers; where they would be past the end, the code is not run.
            sums[0] = add_quad(w, x[at.x + u], sums[0]);
            sums[1u % TOKENS] = add_quad(w, x[at.y + u], sums[1u % TOKENS]);
            if (TOKENS > 2u) {
              sums[2u % TOKENS] = add_quad(w, x[at.z + u], sums[2u % TOKENS]);
              sums[3u % TOKENS] = add_quad(w, x[at.w + u], sums[3u % TOKENS]);
            }
            if (TOKENS > 4u) {
              sums[4u % TOKENS] = add_quad(w, x[at_high.x + u], sums[4u % TOKENS]);
              sums[5u % TOKENS] = add_quad(w, x[at_high.y + u], sums[5u % TOKENS]);
              sums[6u % TOKENS] = add_quad(w, x[at_high.z + u], sums[6u % TOKENS]);
              sums[7u % TOKENS] = add_quad(w, x[at_high.w + u], sums[7u % TOKENS]);
            }
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
      let to = (group * ROWS / 2u * TOKENS + t) * PARTS + lane / SUB;
      parts[to] = sum.xy;
      if (ROWS > 2u) {
        parts[to + TOKENS * PARTS] = sum.zw;
      }
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
  let own = lid / QUADS;
  if (own < TOKENS && token + own < count) {
    let begin = (lid % QUADS * 2u * TOKENS + own) * PARTS;
    var sum = vec4f();
    for (var i = 0u; i < PARTS; i++) {
      sum += vec4f(parts[begin + i], parts[begin + TOKENS * PARTS + i]);
    }
    var by = FACTOR;
    if (NORM) {
      var all = 0.0;
      for (var i = 0u; i < SQUARES; i++) {
        all += squares[own * SQUARES + i];
      }
      by *= inverseSqrt(all / f32(K) + EPS);
    }
    finish(token + own, 4u * (quads + lid % QUADS), by * sum);
  }
}
