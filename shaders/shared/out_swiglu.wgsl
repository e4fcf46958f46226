// Epilogue: out (rows, OUT_STRIDE) = silu(gate) * up, or with GELU gelu(gate) * up, two neighbouring outputs at a time. The weight's first N / 2 rows are
// the gate's, the rest up's.

const WIDTH = N / 2u;

fn weight_rows(v: u32) -> vec4<u32> {
  let i = min(vec2<u32>(v / 2u, v / 2u + 1u), vec2<u32>(WIDTH - 1u));
  return vec4<u32>(i, i + WIDTH);
}

fn finish(row: u32, v: u32, sums: vec4f) {
  let i = v / 2u;
  if (i >= WIDTH) {
    return;
  }
  var gate = sums.xy;
  var up = sums.zw;
  if (BIAS) {
    for (var j = 0u; j < 2u; j++) {
      let at = BIAS_AT + i + j;
      gate[j] += vectors[at / 4u][at % 4u];
      up[j] += vectors[(at + WIDTH) / 4u][(at + WIDTH) % 4u];
    }
  }
  var inner = gate;
  if (GELU) {
    // (1 + tanh(z)) / 2 = 1 / (1 + exp(-2 z)), z = sqrt(2 / pi) (gate + 0.044715 gate^3)
    inner = 1.5957691216 * (gate + 0.044715 * gate * gate * gate);
  }
  let value = gate / (1.0 + exp(-inner)) * up;
  out[(row * OUT_STRIDE + ROW0 + i) / 2u] = vec2f(value.x, select(0.0, value.y, i + 1u < WIDTH));
}
