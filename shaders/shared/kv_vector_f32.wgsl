// 16 bytes of the KV cache: four neighbouring elements.
#import key_f32

// Whether values may be past what it holds.
const NARROW = false;

alias Raw = vec4f;
alias Vector = vec4f;

fn widened(raw: Raw) -> Vector {
  return raw;
}

fn narrowed(low: vec4f, high: vec4f) -> Raw {
  return low;
}

fn products(sums: vec4f, a: Vector, b: Vector) -> vec4f {
  return sums + a * b;
}

fn query_vector(i: u32) -> Vector {
  return query[i];
}

fn add_lane(at: u32, shrink: f32, value: Vector) {
  lanes[at] = lanes[at] * shrink + value;
}
