// Leaves the rows of a thread.
fn finish_row(row: u32, quad: u32, a: vec4f, b: vec4f) {
  finish(row, quad, a);
  if (ACROSS > 4u) {
    finish(row, quad + THREADS_B, b);
  }
}

fn finish_sums(sums: ptr<function, Sums>, lid: u32, row0: u32, column0: u32) {
  let quad = column0 / 4u + lid % THREADS_B;
  let row = row0 + 4u * (lid / THREADS_B);
  finish_row(row, quad, (*sums).a0, (*sums).b0);
  finish_row(row + 1u, quad, (*sums).a1, (*sums).b1);
  finish_row(row + 2u, quad, (*sums).a2, (*sums).b2);
  finish_row(row + 3u, quad, (*sums).a3, (*sums).b3);
  let second = row + 4u * THREADS_A;
  finish_row(second, quad, (*sums).a4, (*sums).b4);
  finish_row(second + 1u, quad, (*sums).a5, (*sums).b5);
  finish_row(second + 2u, quad, (*sums).a6, (*sums).b6);
  finish_row(second + 3u, quad, (*sums).a7, (*sums).b7);
}
