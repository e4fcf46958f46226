// Eight rows of x in 16 bytes of workgroup memory, of values that f16 holds: (DEPTH, X_ROW). One more than there are, so that threads
// that write neighbours along K meet in no bank.
enable f16;

alias XQuad = vec4<f16>;

const X_ROW = TALL / 8u + 1u;
var<workgroup> x_tile: array<array<vec4<f16>, 2>, DEPTH * X_ROW>;

// From one thread's first quad to the next one's, and from a thread's first to its second: both are one read.
const X_NEAR = 2u;
const X_FAR = 1u;

fn x_put(k: u32, row: u32, value: f16) {
  x_tile[k * X_ROW + row / 8u][row / 4u % 2u][row % 4u] = value;
}

fn x_low(at: u32) -> vec4f {
  return vec4f(x_tile[at][0]);
}

fn x_high(at: u32) -> vec4f {
  return vec4f(x_tile[at][1]);
}
