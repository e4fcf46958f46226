// out (M, N) = a b as matmul_lanes.wgsl, for GPUs. A workgroup makes a tile of TALL by WIDE, DEPTH of K at a time in workgroup
// memory. A thread adds up eight rows by ACROSS (4 or 8) columns in named registers; of a tile that has fewer of these than
// threads, each is of GROUPS threads, which take a part of every DEPTH each and add theirs up in order: so a product of few
// numbers, as a gradient of a small matrix over many rows, has work for more threads.
#import operands

const THREADS_A = TALL / 8u;
const THREADS_B = WIDE / ACROSS;
const MEMBERS = THREADS_A * THREADS_B;
const GROUPS = WG / MEMBERS;
const QUADS = DEPTH / 4u;
const SLABS = (K + DEPTH - 1u) / DEPTH;
// Quads that a thread brings of a slab.
const A_TURNS = TALL * QUADS / WG;
const B_TURNS = WIDE * QUADS / WG;
// Threads with many registers have the next slab on its way while they multiply one, and several steps.
const AHEAD = ACROSS > 4u;
const STEPS = select(1u, 4u, AHEAD);
const MULTIPLIES = DEPTH / GROUPS / STEPS;

// Four rows or columns a vector: (DEPTH, ..). Two more than there are, so that threads that turn neighbours along K meet in no bank.
const A_ROW = TALL / 4u + 2u;
const B_ROW = WIDE / 4u + 2u;
var<workgroup> a_tile: array<vec4f, DEPTH * A_ROW>;
var<workgroup> b_tile: array<vec4f, DEPTH * B_ROW>;

// Sums: rows 0..7 by four columns (a) and four others (b).
struct Sums {
  a0: vec4f,
  b0: vec4f,
  a1: vec4f,
  b1: vec4f,
  a2: vec4f,
  b2: vec4f,
  a3: vec4f,
  b3: vec4f,
  a4: vec4f,
  b4: vec4f,
  a5: vec4f,
  b5: vec4f,
  a6: vec4f,
  b6: vec4f,
  a7: vec4f,
  b7: vec4f,
}

// What a thread brings of a slab; what has no turn is not used.
struct Slab {
  a: Quads,
  b: Quads,
}

// The k-th of a slab is here, of both: neighbouring quads along K lie next to one another.
fn slot(k: u32) -> u32 {
  return k % 4u * QUADS + k / 4u;
}

fn bring_a(row0: u32, slab: u32, at: u32) -> vec4f {
  if (A_TURNED) {
    return a_within(slab * DEPTH + at / (TALL / 4u), row0 / 4u + at % (TALL / 4u));
  }
  return a_within(row0 + at / QUADS, slab * QUADS + at % QUADS);
}

fn bring_b(column0: u32, slab: u32, at: u32) -> vec4f {
  if (B_TURNED) {
    return b_within(column0 + at / QUADS, slab * QUADS + at % QUADS, DEPTH);
  }
  return b_within(slab * DEPTH + at / (WIDE / 4u), column0 / 4u + at % (WIDE / 4u), DEPTH);
}

fn put_a(at: u32, value: vec4f) {
  if (A_TURNED) {
    a_tile[slot(at / (TALL / 4u)) * A_ROW + at % (TALL / 4u)] = value;
    return;
  }
  let row = at / QUADS;
  let to = at % QUADS * A_ROW + row / 4u;
  a_tile[to][row % 4u] = value.x;
  a_tile[to + QUADS * A_ROW][row % 4u] = value.y;
  a_tile[to + 2u * QUADS * A_ROW][row % 4u] = value.z;
  a_tile[to + 3u * QUADS * A_ROW][row % 4u] = value.w;
}

fn put_b(at: u32, value: vec4f) {
  if (!B_TURNED) {
    b_tile[slot(at / (WIDE / 4u)) * B_ROW + at % (WIDE / 4u)] = value;
    return;
  }
  let row = at / QUADS;
  let to = at % QUADS * B_ROW + row / 4u;
  b_tile[to][row % 4u] = value.x;
  b_tile[to + QUADS * B_ROW][row % 4u] = value.y;
  b_tile[to + 2u * QUADS * B_ROW][row % 4u] = value.z;
  b_tile[to + 3u * QUADS * B_ROW][row % 4u] = value.w;
}

fn bring(row0: u32, column0: u32, slab: u32, lid: u32) -> Slab {
  var own = Slab();
  own.a.a = bring_a(row0, slab, lid);
  if (A_TURNS > 1u) {
    own.a.b = bring_a(row0, slab, lid + WG);
  }
  if (A_TURNS > 2u) {
    own.a.c = bring_a(row0, slab, lid + 2u * WG);
    own.a.d = bring_a(row0, slab, lid + 3u * WG);
  }
  own.b.a = bring_b(column0, slab, lid);
  if (B_TURNS > 1u) {
    own.b.b = bring_b(column0, slab, lid + WG);
  }
  if (B_TURNS > 2u) {
    own.b.c = bring_b(column0, slab, lid + 2u * WG);
    own.b.d = bring_b(column0, slab, lid + 3u * WG);
  }
  return own;
}

fn put(lid: u32, own: Slab) {
  put_a(lid, own.a.a);
  if (A_TURNS > 1u) {
    put_a(lid + WG, own.a.b);
  }
  if (A_TURNS > 2u) {
    put_a(lid + 2u * WG, own.a.c);
    put_a(lid + 3u * WG, own.a.d);
  }
  put_b(lid, own.b.a);
  if (B_TURNS > 1u) {
    put_b(lid + WG, own.b.b);
  }
  if (B_TURNS > 2u) {
    put_b(lid + 2u * WG, own.b.c);
    put_b(lid + 3u * WG, own.b.d);
  }
}

// Where registers are few, each turn is on its own: compilers do not move what it reads before a condition that they cannot know.
fn bring_and_put(row0: u32, column0: u32, slab: u32, lid: u32) {
  for (var i = 0u; i < A_TURNS; i++) {
    let at = lid + i * WG;
    if (row0 + select(at / QUADS, 4u * (at % (TALL / 4u)), A_TURNED) < M) {
      put_a(at, bring_a(row0, slab, at));
    }
  }
  for (var i = 0u; i < B_TURNS; i++) {
    let at = lid + i * WG;
    if (column0 + select(4u * (at % (WIDE / 4u)), at / QUADS, B_TURNED) < N) {
      put_b(at, bring_b(column0, slab, at));
    }
  }
}

fn multiply(sums: ptr<function, Sums>, a_at: u32, b_at: u32) {
  let p = a_tile[a_at];
  let q = a_tile[a_at + THREADS_A];
  let a = b_tile[b_at];
  (*sums).a0 += p.x * a;
  (*sums).a1 += p.y * a;
  (*sums).a2 += p.z * a;
  (*sums).a3 += p.w * a;
  (*sums).a4 += q.x * a;
  (*sums).a5 += q.y * a;
  (*sums).a6 += q.z * a;
  (*sums).a7 += q.w * a;
  if (ACROSS > 4u) {
    let b = b_tile[b_at + THREADS_B];
    (*sums).b0 += p.x * b;
    (*sums).b1 += p.y * b;
    (*sums).b2 += p.z * b;
    (*sums).b3 += p.w * b;
    (*sums).b4 += q.x * b;
    (*sums).b5 += q.y * b;
    (*sums).b6 += q.z * b;
    (*sums).b7 += q.w * b;
  }
}

#import SUMS

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let row0 = wid.x * TALL;
  let column0 = (wid.y + wid.z * grid.y) * WIDE;
  let group = lid / MEMBERS;
  let a_at = group * (DEPTH / GROUPS) * A_ROW + lid / THREADS_B % THREADS_A;
  let b_at = group * (DEPTH / GROUPS) * B_ROW + lid % THREADS_B;
  var sums = Sums();
  var ahead = Slab();
  if (AHEAD) {
    ahead = bring(row0, column0, 0u, lid);
  }
  for (var slab = 0u; slab < SLABS; slab++) {
    if (AHEAD) {
      put(lid, ahead);
    } else {
      bring_and_put(row0, column0, slab, lid);
    }
    workgroupBarrier();
    if (AHEAD) {
      // Behind the last slab, the last again.
      ahead = bring(row0, column0, min(slab + 1u, SLABS - 1u), lid);
    }
    for (var i = 0u; i < MULTIPLIES; i++) {
      for (var j = 0u; j < STEPS; j++) {
        let k = i * STEPS + j;
        multiply(&sums, a_at + k * A_ROW, b_at + k * B_ROW);
      }
    }
    workgroupBarrier();
  }
  finish_tile(&sums, lid, row0, column0);
}
