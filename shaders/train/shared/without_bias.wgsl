fn bias_at(j: u32) -> f32 {
  return 0.0;
}
