// Reads four neighbouring elements of the KV cache.
fn kv_load(vec: u32) -> vec4f {
  return kv[vec];
}
