// out (M, N) = a b, of matrices as they are or turned in memory: a (M, K) or with A_TURNED (K, M), b (K, N) or with B_TURNED
// (N, K). The bias (N) is added to every row; with ADD, all to what is there. For CPUs that play GPU: a lane adds up 2 * LANES rows
// by four columns, four k at a time, for such adapters take as long for a read as for 16 multiply-adds, wherever it is from.
#import operands
#import ROWS

const K4 = (K + 3u) / 4u;

fn row_of(sums: vec4f, row: vec4f, b: Quads) -> vec4f {
  return fma(vec4f(row.w), b.d, fma(vec4f(row.z), b.c, fma(vec4f(row.y), b.b, fma(vec4f(row.x), b.a, sums))));
}

fn take(sums: ptr<function, Quads>, rows: Quads, b: Quads) {
  (*sums).a = row_of((*sums).a, rows.a, b);
  (*sums).b = row_of((*sums).b, rows.b, b);
  (*sums).c = row_of((*sums).c, rows.c, b);
  (*sums).d = row_of((*sums).d, rows.d, b);
}

// Four k of four columns, k by k.
fn columns(quad: u32, k4: u32) -> Quads {
  if (B_TURNED) {
    let row = 4u * quad;
    return turned(Quads(
      b_within(row, k4, 4u),
      b_within(row + 1u, k4, 4u),
      b_within(row + 2u, k4, 4u),
      b_within(row + 3u, k4, 4u),
    ));
  }
  let k = 4u * k4;
  return Quads(
    b_within(k, quad, 4u),
    b_within(k + 1u, quad, 4u),
    b_within(k + 2u, quad, 4u),
    b_within(k + 3u, quad, 4u),
  );
}

fn finish_four(row: u32, quad: u32, sums: Quads) {
  finish(row, quad, sums.a);
  finish(row + 1u, quad, sums.b);
  finish(row + 2u, quad, sums.c);
  finish(row + 3u, quad, sums.d);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row0 = wid.x * 2u * LANES;
  let quad = wid.y * LANES + lid;
  var s0 = Quads();
  var s1 = Quads();
  var s2 = Quads();
  var s3 = Quads();
  for (var k4 = 0u; k4 < K4; k4++) {
    let b = columns(quad, k4);
    let held = hold(row0, k4, lid);
    take(&s0, rows_0(held), b);
    take(&s1, rows_1(held), b);
    if (LANES > 4u) {
      take(&s2, rows_2(held), b);
      take(&s3, rows_3(held), b);
    }
  }
  finish_four(row0, quad, s0);
  finish_four(row0 + 4u, quad, s1);
  if (LANES > 4u) {
    finish_four(row0 + 8u, quad, s2);
    finish_four(row0 + 12u, quad, s3);
  }
}
