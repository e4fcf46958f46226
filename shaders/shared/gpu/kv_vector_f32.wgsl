// 16 bytes of the KV cache: four neighbouring elements.
#import key_f32
#import gpu/kv_vector_four

// Whether values may be past what it holds.
const NARROW = false;

alias Raw = vec4f;

fn widened(raw: Raw) -> Vector {
  return raw;
}

fn narrowed(low: vec4f, high: vec4f) -> Raw {
  return low;
}
