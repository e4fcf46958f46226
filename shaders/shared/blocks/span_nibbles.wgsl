// A span of 4-bit codes, lowest nibble first.
#import unit
#import blocks/nibbles

fn span_unit(span: Span, unit: u32) -> Unit {
  let v = nibbles(span.words[unit]);
  return Unit(vec4f(v[0].x, v[1].x, v[2].x, v[3].x), vec4f(v[0].y, v[1].y, v[2].y, v[3].y));
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  let four = span.words[quad / 2u] >> (16u * (quad % 2u));
  let v = nibbles((four & 0xffu) | ((four & 0xff00u) << 8u));
  return vec4f(v[0].x, v[1].x, v[0].y, v[1].y);
}
