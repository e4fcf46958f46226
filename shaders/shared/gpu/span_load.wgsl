// A span that is one load, or two: all that there is of its codes.
#import gpu/words

fn span_at(at: u32) -> Span {
  return Span(weight[at], vec2<u32>());
}
