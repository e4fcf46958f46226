// Eight neighbours of a span, of which whoever imports this reads four.
#import unit

fn span_unit(span: Span, unit: u32) -> Unit {
  return Unit(span_quad(span, 2u * unit), span_quad(span, 2u * unit + 1u));
}
