// What a span adds whose codes have one scale and one minimum, as `span_scales` gives them.

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  let by = span_scales(at, s);
  let sum = by.x * codes.y + before;
  return by.y * xs.y + sum;
}
