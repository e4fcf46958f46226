// 16 bytes of the KV cache: eight neighbouring elements.
#import key_f16

// Whether values may be past what it holds.
const NARROW = true;

alias Raw = vec4<u32>;
alias Vector = mat2x4f;

fn widened(raw: Raw) -> Vector {
  return mat2x4f(
    vec4f(unpack2x16float(raw.x), unpack2x16float(raw.y)),
    vec4f(unpack2x16float(raw.z), unpack2x16float(raw.w)),
  );
}

fn narrowed(low: vec4f, high: vec4f) -> Raw {
  return vec4<u32>(
    pack2x16float(low.xy),
    pack2x16float(low.zw),
    pack2x16float(high.xy),
    pack2x16float(high.zw),
  );
}

fn products(sums: vec4f, a: Vector, b: Vector) -> vec4f {
  let low = sums + a[0] * b[0];
  return low + a[1] * b[1];
}

fn query_vector(i: u32) -> Vector {
  return mat2x4f(query[2u * i], query[2u * i + 1u]);
}

fn add_lane(at: u32, shrink: f32, value: Vector) {
  lanes[at] = lanes[at] * shrink + value[0];
  lanes[at + WG] = lanes[at + WG] * shrink + value[1];
}
