// How one sequence samples.
struct Sampler {
  // 1 / temperature; 0 is greedy.
  sharpness: f32,
  top_p: f32,
  // Log of the smallest probability to keep, relative to the largest.
  log_min_p: f32,
  top_k: u32,
  repetition: f32,
  frequency: f32,
  presence: f32,
  // Of this reply; hashed with the position for each draw.
  seed: u32,
}
