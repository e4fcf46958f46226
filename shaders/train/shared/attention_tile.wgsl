// What the kernels of attention on GPUs share. A workgroup has 32 rows of a head as its own, each of eight threads, and goes over
// the others 32 at a time: each thread makes four numbers of pairs of rows (a row of its own, others that are eight apart), then
// adds up others by these as weights, four dimensions of each slice of 32. Sums are in the order of the others, and stay in their
// place in memory between tiles: of all slices they fit no registers.
const TALL = 32u;
const MEMBERS = 8u;
const SLICES = (D4 + MEMBERS - 1u) / MEMBERS;
const TILES = (LENGTH + TALL - 1u) / TALL;
// Not the same banks of memory for neighbours.
const STRIDE = TALL + 1u;

// A slice of rows (four dimensions each member, rows), and weights (rows, members).
var<workgroup> own_slice: array<vec4f, MEMBERS * STRIDE>;
var<workgroup> other_slice: array<vec4f, MEMBERS * STRIDE>;
var<workgroup> weights: array<vec4f, WG>;

// MEMBERS, which compilers cannot tell, so that loops stay loops, and what is needed again is read again: all places of loops that
// are unrolled, and all that was read, would be kept in registers, more than there are. MOST turns are too many to unroll.
var<workgroup> turns: u32;
const MOST = 64u;

fn begin(lid: u32) {
  if (lid == 0u) {
    turns = MEMBERS;
  }
  workgroupBarrier();
}

// Where a thread reads of a slice, and whether that is there: heads may be no multiples of a slice.
fn quad_of(slice: u32, lid: u32) -> u32 {
  return min(slice * turns + lid % MEMBERS, D4 - 1u);
}

fn is_within(slice: u32, lid: u32) -> bool {
  return D4 % MEMBERS == 0u || slice * MEMBERS + lid % MEMBERS < D4;
}

fn within(slice: u32, lid: u32, value: vec4f) -> vec4f {
  return select(vec4f(), value, is_within(slice, lid));
}

fn hold_other(lid: u32, value: vec4f) {
  other_slice[lid % MEMBERS * STRIDE + lid / MEMBERS] = value;
}

// Of a slice, the products of the row of a thread and four others; every thread brings four numbers of each.
fn products(lid: u32, own: vec4f, other: vec4f) -> vec4f {
  own_slice[lid % MEMBERS * STRIDE + lid / MEMBERS] = own;
  hold_other(lid, other);
  workgroupBarrier();
  var sums = vec4f();
  let end = turns;
  for (var i = 0u; i < MOST; i++) {
    if (i >= end) {
      break;
    }
    let row = own_slice[i * STRIDE + lid / MEMBERS];
    let at = i * STRIDE + lid % MEMBERS;
    sums += vec4f(
      dot(row, other_slice[at]),
      dot(row, other_slice[at + MEMBERS]),
      dot(row, other_slice[at + 2u * MEMBERS]),
      dot(row, other_slice[at + 3u * MEMBERS]),
    );
  }
  workgroupBarrier();
  return sums;
}

// Of a slice, the sum of the others by the weights of the row of a thread.
fn weighted(lid: u32, other: vec4f) -> vec4f {
  hold_other(lid, other);
  workgroupBarrier();
  var sum = vec4f();
  let row = lid / MEMBERS * MEMBERS;
  let column = lid % MEMBERS * STRIDE;
  let end = turns;
  for (var i = 0u; i < MOST; i++) {
    if (i >= end) {
      break;
    }
    let by = weights[row + i];
    let at = column + i;
    sum += by.x * other_slice[at];
    sum += by.y * other_slice[at + MEMBERS];
    sum += by.z * other_slice[at + 2u * MEMBERS];
    sum += by.w * other_slice[at + 3u * MEMBERS];
  }
  workgroupBarrier();
  return sum;
}

// Sum of what the members of a row have.
fn row_sum(lid: u32, value: f32) -> f32 {
  weights[lid] = vec4f(value, 0.0, 0.0, 0.0);
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < MEMBERS; i++) {
    sum += weights[lid / MEMBERS * MEMBERS + i].x;
  }
  workgroupBarrier();
  return sum;
}

// Places of four others in their window.
fn others_of(tile: u32, lid: u32) -> vec4<u32> {
  return vec4<u32>(tile * TALL + lid % MEMBERS) + turns * vec4<u32>(0u, 1u, 2u, 3u);
}
