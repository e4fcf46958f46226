// What kernels read of a weight at a time: 8 neighbours along K, as f32.
struct Unit {
  a: vec4f,
  b: vec4f,
}
