// Eight weight rows in 16 bytes of workgroup memory, of values that f16 holds: (DEPTH, W_ROW). One more than there are, so that
// threads that write neighbours along K meet in no bank. Threads that have four weight rows count fours.
enable f16;

alias WQuad = vec4<f16>;

const W_ROW = WIDE / ACROSS + 8u / ACROSS;
var<workgroup> w_tile: array<array<vec4<f16>, 2>, DEPTH * (WIDE / 8u + 1u)>;

// From one thread's first quad to the next one's, and from a thread's first to its second: both are one read.
const W_NEAR = 2u;
const W_FAR = 1u;

fn w_put(k: u32, row: u32, value: f16) {
  w_tile[k * (WIDE / 8u + 1u) + row / 8u][row / 4u % 2u][row % 4u] = value;
}

fn w_low(at: u32) -> vec4f {
  if (ACROSS > 4u) {
    return vec4f(w_tile[at][0]);
  }
  return vec4f(w_tile[at / 2u][at % 2u]);
}

fn w_high(at: u32) -> vec4f {
  return vec4f(w_tile[at][1]);
}
