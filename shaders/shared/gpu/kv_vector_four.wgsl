// Vectors of four numbers, whatever they are kept as.

alias Vector = vec4f;

fn products(sums: vec4f, a: Vector, b: Vector) -> vec4f {
  return sums + a * b;
}

fn query_vector(i: u32) -> Vector {
  return query[i];
}

fn add_lane(at: u32, shrink: f32, value: Vector) {
  lanes[at] = lanes[at] * shrink + value;
}
