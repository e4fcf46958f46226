// A load of 16 bytes of codes, and bits of them that are kept elsewhere.
struct Span {
  words: vec4<u32>,
  more: vec2<u32>,
}
