// Reads four neighbouring elements of the KV cache.
#import key_f32

fn kv_load(vec: u32) -> vec4f {
  return kv[vec];
}
