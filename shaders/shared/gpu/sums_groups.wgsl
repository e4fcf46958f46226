// Where GROUPS threads of matmul.wgsl have parts of the same sums, which are added in their order.

// Of two rows of x, by a quad of weight rows and by a second.
const SHARES = ACROSS / 2u;
// (SHARES, WG): of two of a thread's rows at a time.
var<workgroup> parts: array<vec4f, SHARES * WG>;

fn put_parts(lid: u32, a: vec4f, a_next: vec4f, b: vec4f, b_next: vec4f) {
  parts[lid] = a;
  parts[WG + lid] = a_next;
  if (ACROSS > 4u) {
    parts[2u * WG + lid] = b;
    parts[3u * WG + lid] = b_next;
  }
}

fn finish_sums(sums: ptr<function, Sums>, lid: u32, token0: u32, v0: u32, count: u32) {
  for (var pair = 0u; pair < 4u; pair++) {
    put_parts(lid, (*sums).a0, (*sums).a1, (*sums).b0, (*sums).b1);
    workgroupBarrier();
    for (var turn = 0u; turn < (SHARES * MEMBERS + WG - 1u) / WG; turn++) {
      let share = (turn * WG + lid) / MEMBERS;
      let member = (turn * WG + lid) % MEMBERS;
      let row =
        token0 + 4u * (X_NEAR * (member / THREADS_W) + pair / 2u * X_FAR) + 2u * (pair % 2u) + share % 2u;
      if (share < SHARES && row < count) {
        var sum = vec4f();
        for (var group = 0u; group < GROUPS; group++) {
          sum += parts[share * WG + group * MEMBERS + member];
        }
        finish(row, v0 + 4u * (W_OWN * (member % THREADS_W) + share / 2u * W_FAR), factor() * sum);
      }
    }
    workgroupBarrier();
    // The sums move up instead of being indexed.
    (*sums).a0 = (*sums).a2;
    (*sums).b0 = (*sums).b2;
    (*sums).a1 = (*sums).a3;
    (*sums).b1 = (*sums).b3;
    (*sums).a2 = (*sums).a4;
    (*sums).b2 = (*sums).b4;
    (*sums).a3 = (*sums).a5;
    (*sums).b3 = (*sums).b5;
    (*sums).a4 = (*sums).a6;
    (*sums).b4 = (*sums).b6;
    (*sums).a5 = (*sums).a7;
    (*sums).b5 = (*sums).b7;
  }
}
