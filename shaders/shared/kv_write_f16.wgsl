@group(0) @binding(5) var<storage, read_write> kv: array<u32>;

// Writes two neighbouring elements of the KV cache, packed as f16.
fn kv_store(element: u32, value: vec2f) {
  kv[element / 2u] = pack2x16float(value);
}
