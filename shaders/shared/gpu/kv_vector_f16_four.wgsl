// 8 bytes of the KV cache: four neighbouring elements, of the heads that key_f16.wgsl says.
#import key_f16
#import gpu/kv_vector_four

// Whether values may be past what it holds.
const NARROW = true;

alias Raw = vec2<u32>;

fn widened(raw: Raw) -> Vector {
  return vec4f(unpack2x16float(raw.x), unpack2x16float(raw.y));
}

fn narrowed(low: vec4f, high: vec4f) -> Raw {
  return vec2<u32>(pack2x16float(low.xy), pack2x16float(low.zw));
}
