// Fills weights (rows, cols), or what is beside their blocks, with random values from a hash of index and seed: uniform with a standard
// deviation of 1/sqrt(cols), so that a projection keeps the size of its input. BITS: of one code (32 f32, 16 f16, fewer:
// integers); with SCALES, f16 scales that give code LEVEL the largest value, each alone (1) or with the minimum that makes the
// middle code zero (2). What pads a row is zero.
struct Params {
  words: u32,
  // u32 words from one row to the next.
  row_words: u32,
  cols: u32,
  seed: u32,
}

// PCG's output permutation of one linear congruential step.
fn hash(input: u32) -> u32 {
  let state = input * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

// In [-1, 1), of 24 random bits.
fn uniform_of(bits: u32) -> f32 {
  return f32(bits >> 8u) * (2.0 / 16777216.0) - 1.0;
}

// The code of zero.
const MIDDLE = 1u << (min(BITS, 31u) - 1u);

fn word_of(bits: u32, column: u32, peak: f32) -> u32 {
  if (SCALES > 0u) {
    let scale = peak / f32(LEVEL);
    return pack2x16float(vec2f(scale, select(scale, -f32(MIDDLE) * scale, SCALES == 2u)));
  }
  if (BITS == 32u) {
    return bitcast<u32>(select(0.0, uniform_of(bits) * peak, column < params.cols));
  }
  if (BITS == 16u) {
    let values = vec2f(uniform_of(bits), uniform_of(hash(bits))) * peak;
    return pack2x16float(select(vec2f(0.0), values, vec2(column, column + 1u) < vec2(params.cols)));
  }
  var codes = 0u;
  for (var i = 0u; i < 32u / BITS; i++) {
    // The least has no opposite and is not used.
    let code = max(1u, extractBits(bits, BITS * i, BITS));
    codes |= select(MIDDLE, code, column + i < params.cols) << (BITS * i);
  }
  return codes;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let i = (wid.x + wid.y * grid.x) * WG + lid;
  if (i >= params.words) {
    return;
  }
  let column = (i % params.row_words) * (32u / BITS);
  out[i] = word_of(hash(i ^ hash(params.seed)), column, sqrt(3.0 / f32(params.cols)));
}
