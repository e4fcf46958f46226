// Where each thread of matmul.wgsl has sums of its own.

fn finish_sums(sums: ptr<function, Sums>, lid: u32, token0: u32, v0: u32, count: u32) {
  let v = v0 + 4u * W_OWN * (lid % THREADS_W);
  let row0 = token0 + 4u * X_NEAR * (lid / THREADS_W);
  // The sums move up instead of being indexed, and the epilogue, which is long, is compiled once.
  for (var i = 0u; i < 8u; i++) {
    let row = row0 + i / 4u * (4u * X_FAR) + i % 4u;
    if (row < count) {
      for (var j = 0u; j < ACROSS / 4u; j++) {
        finish(row, v + j * (4u * W_FAR), factor() * select((*sums).a0, (*sums).b0, j > 0u));
      }
    }
    (*sums).a0 = (*sums).a1;
    (*sums).b0 = (*sums).b1;
    (*sums).a1 = (*sums).a2;
    (*sums).b1 = (*sums).b2;
    (*sums).a2 = (*sums).a3;
    (*sums).b2 = (*sums).b3;
    (*sums).a3 = (*sums).a4;
    (*sums).b3 = (*sums).b4;
    (*sums).a4 = (*sums).a5;
    (*sums).b4 = (*sums).b5;
    (*sums).a5 = (*sums).a6;
    (*sums).b5 = (*sums).b6;
    (*sums).a6 = (*sums).a7;
    (*sums).b6 = (*sums).b7;
  }
}
