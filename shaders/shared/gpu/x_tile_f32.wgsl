// Four rows of x a vector in workgroup memory: (DEPTH, X_ROW). Two more than there are, so that threads that write neighbours
// along K meet in no bank.
alias XQuad = vec4f;

const X_ROW = TALL / 4u + 2u;
var<workgroup> x_tile: array<vec4f, DEPTH * X_ROW>;

// From one thread's first quad to the next one's, and from a thread's first to its second: neighbours read neighbours.
const X_NEAR = 1u;
const X_FAR = THREADS_X;

fn x_put(k: u32, row: u32, value: f32) {
  x_tile[k * X_ROW + row / 4u][row % 4u] = value;
}

fn x_low(at: u32) -> vec4f {
  return x_tile[at];
}

fn x_high(at: u32) -> vec4f {
  return x_tile[at + X_FAR];
}
