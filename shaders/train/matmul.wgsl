// out (M, N) = a b, each as it is or transposed in memory: a (M, K) or with A_TURNED (K, M), b (K, N) or with B_TURNED (N, K). bias
// (N) is added to every row; with ADD, all to what is there. A thread a number.
#import BIAS

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WG + lid;
  if (at >= M * N) {
    return;
  }
  let i = at / N;
  let j = at % N;
  var sum = bias_at(j);
  for (var k = 0u; k < K; k++) {
    let left = a[select(i * K + k, k * M + i, A_TURNED)];
    let right = b[select(k * N + j, j * K + k, B_TURNED)];
    sum += left * right;
  }
  if (ADD) {
    sum += out[at];
  }
  out[at] = sum;
}
