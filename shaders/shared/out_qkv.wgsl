// Epilogue: q, k and v of one row, with bias and RoPE, to q and the KV cache. The weight's rows are q's heads, k's, v's;
// four at a time are the two rotated pairs j and j + 1 of a head. ROW0 counts rows before this part of a split weight.
#import qkv_place

fn weight_rows(v: u32) -> vec4<u32> {
  let first = min(v, N - 4u);
  let j = (first % HEAD_DIM) / 2u;
  let base = first - first % HEAD_DIM + j;
  return vec4<u32>(base, base + 1u, base + HEAD_DIM / 2u, base + HEAD_DIM / 2u + 1u);
}

fn finish(row: u32, v: u32, sums: vec4f) {
  if (v >= N) {
    return;
  }
  var value = sums;
  if (BIAS) {
    let at = BIAS_AT + weight_rows(v);
    for (var i = 0u; i < 4u; i++) {
      value[i] += vectors[at[i] / 4u][at[i] % 4u];
    }
  }
  place(row, (ROW0 + v) / HEAD_DIM, (v % HEAD_DIM) / 2u, value);
}
