// Reads four neighbouring elements of the KV cache, packed as f16.
#import key_f16

fn kv_load(vec: u32) -> vec4f {
  let packed = kv[vec];
  return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
