// Writes two neighbouring elements of the KV cache.
#import key_f32

fn kv_store(sequence: u32, element: u32, value: vec2f) {
  kv[element / 2u] = value;
}
