// Numbers of an array four at a time.
alias Some = vec4f;
alias Mask = vec4<bool>;
const EACH = 4u;

fn total(values: Some) -> f32 {
  return values.x + values.y + values.z + values.w;
}

fn largest(values: Some) -> f32 {
  return max(max(values.x, values.y), max(values.z, values.w));
}

// Which of the numbers of element `at` is the one at `place`.
fn is_at(at: u32, place: u32) -> Mask {
  return vec4<u32>(0u, 1u, 2u, 3u) + 4u * at == vec4<u32>(place);
}
