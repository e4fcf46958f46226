// Four weight rows a vector in workgroup memory: (DEPTH, W_ROW). Two more than there are, so that threads that write neighbours
// along K meet in no bank.
alias WQuad = vec4f;

const W_ROW = WIDE / 4u + 2u;
var<workgroup> w_tile: array<vec4f, DEPTH * W_ROW>;

// From one thread's first quad to the next one's, and from a thread's first to its second: neighbours read neighbours.
const W_NEAR = 1u;
const W_FAR = THREADS_W;

fn w_put(k: u32, row: u32, value: f32) {
  w_tile[k * W_ROW + row / 4u][row % 4u] = value;
}

fn w_low(at: u32) -> vec4f {
  return w_tile[at];
}

fn w_high(at: u32) -> vec4f {
  return w_tile[at + W_FAR];
}
