// Where groups of threads of matmul_tiled.wgsl have a part of K each: the first adds up those of the others, one after the other,
// two rows at a time.
const PARTS = ACROSS / 2u;
var<workgroup> parts: array<array<vec4f, WG>, PARTS>;

struct Two {
  a0: vec4f,
  b0: vec4f,
  a1: vec4f,
  b1: vec4f,
}

fn added(own: Two, lid: u32) -> Two {
  parts[0][lid] = own.a0;
  parts[1][lid] = own.a1;
  if (ACROSS > 4u) {
    parts[PARTS - 2u][lid] = own.b0;
    parts[PARTS - 1u][lid] = own.b1;
  }
  workgroupBarrier();
  var sum = own;
  for (var group = 1u; group < GROUPS; group++) {
    let other = group * MEMBERS + lid % MEMBERS;
    sum.a0 += parts[0][other];
    sum.a1 += parts[1][other];
    if (ACROSS > 4u) {
      sum.b0 += parts[PARTS - 2u][other];
      sum.b1 += parts[PARTS - 1u][other];
    }
  }
  workgroupBarrier();
  return sum;
}

fn finish_tile(sums: ptr<function, Sums>, lid: u32, row0: u32, column0: u32) {
  let p = added(Two((*sums).a0, (*sums).b0, (*sums).a1, (*sums).b1), lid);
  let q = added(Two((*sums).a2, (*sums).b2, (*sums).a3, (*sums).b3), lid);
  let r = added(Two((*sums).a4, (*sums).b4, (*sums).a5, (*sums).b5), lid);
  let s = added(Two((*sums).a6, (*sums).b6, (*sums).a7, (*sums).b7), lid);
  if (lid < MEMBERS) {
    var all = Sums(
      p.a0, p.b0, p.a1, p.b1, q.a0, q.b0, q.a1, q.b1,
      r.a0, r.b0, r.a1, r.b1, s.a0, s.b0, s.a1, s.b1,
    );
    finish_sums(&all, lid, row0, column0);
  }
}

#import tile_rows
