// out (ROWS, K) = embedding[tokens].
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < K) {
    out[id.y * K + id.x] = embedding[tokens[id.y] * K + id.x];
  }
}
