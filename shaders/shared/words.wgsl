// The codes of a span: one or two loads of 16 bytes, or one and bits that are kept elsewhere.
struct Span {
  words: vec4<u32>,
  more: vec4<u32>,
}
