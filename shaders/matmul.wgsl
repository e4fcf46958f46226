// Rows of x (rows, K) times weights (N, K) for many rows: tiles of 64 rows of x by 64 weight rows, four units of K at a time in
// workgroup memory, four by four sums a thread in named registers. With HEAD, x is already the rows that are wanted. Sums are multiplied with FACTOR.
#import step
#import WEIGHT
#import x_unit
#import OUT

const TILE = 64u;
const DEPTH = 4u * UNIT;

// (DEPTH, TILE) each: transposed, so that a thread reads its four neighbours along the tile.
var<workgroup> x_tile: array<f32, DEPTH * TILE>;
var<workgroup> w_tile: array<f32, DEPTH * TILE>;

fn weight_row(v: u32) -> u32 {
  return weight_rows(v - v % 4u)[v % 4u];
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let count = select(step.rows, step.count, HEAD);
  let v0 = (wid.y + wid.z * grid.y) * TILE;
  let token0 = wid.x * TILE;
  // Loading: a thread brings one unit of x and one of the weights.
  let load_row = lid % TILE;
  let load_unit = lid / TILE;
  let x_at = min(token0 + load_row, count - 1u) * X_STRIDE4;
  let w_at = weight_row(v0 + load_row) * UNITS;
  // Computing: a thread owns rows 4 ty.. of x and weight rows 4 tx..
  let tx = (lid % 16u) * 4u;
  let ty = (lid / 16u) * 4u;
  var t0 = vec4f();
  var t1 = vec4f();
  var t2 = vec4f();
  var t3 = vec4f();
  for (var u0 = 0u; u0 < UNITS; u0 += 4u) {
    let u = u0 + load_unit;
    var own = Unit();
    var w = Unit();
    if (u < UNITS) {
      own = x_unit(x_at + UNIT4 * u);
      w = weight_unit(w_at + u);
    }
    let k = load_unit * UNIT;
    for (var i = 0u; i < 4u; i++) {
      x_tile[(k + i) * TILE + load_row] = own.a[i];
      w_tile[(k + i) * TILE + load_row] = w.a[i];
      if (UNIT4 > 1u) {
        x_tile[(k + 4u + i) * TILE + load_row] = own.b[i];
        w_tile[(k + 4u + i) * TILE + load_row] = w.b[i];
      }
    }
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let xi = d * TILE + ty;
      let wi = d * TILE + tx;
      let wv = vec4f(w_tile[wi], w_tile[wi + 1u], w_tile[wi + 2u], w_tile[wi + 3u]);
      t0 += x_tile[xi] * wv;
      t1 += x_tile[xi + 1u] * wv;
      t2 += x_tile[xi + 2u] * wv;
      t3 += x_tile[xi + 3u] * wv;
    }
    workgroupBarrier();
  }
  // The sums move up instead of being indexed, and the epilogue, which is long, is compiled once.
  for (var row = token0 + ty; row < min(token0 + ty + 4u, count); row++) {
    finish(row, v0 + tx, FACTOR * t0);
    t0 = t1;
    t1 = t2;
    t2 = t3;
  }
}
