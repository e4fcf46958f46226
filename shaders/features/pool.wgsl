// Adds spans of rows up: out (places, K) += scale * (x[first] + ... + x[first + count - 1]) for each of step.count spans.
#import step

struct Span {
  first: u32,
  count: u32,
  place: u32,
  scale: f32,
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i >= X_STRIDE4 || id.y >= step.count) {
    return;
  }
  let span = spans[id.y];
  var sum = vec4f(0.0);
  for (var j = 0u; j < MOST_ROWS; j++) {
    if (j >= span.count) {
      break;
    }
    sum += x[(span.first + j) * X_STRIDE4 + i];
  }
  out[span.place * X_STRIDE4 + i] += span.scale * sum;
}
