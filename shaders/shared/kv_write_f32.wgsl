// Writes two neighbouring elements of the KV cache.
fn kv_store(sequence: u32, element: u32, value: vec2f) {
  kv[element / 2u] = value;
}
