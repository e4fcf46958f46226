// Each thread tells its own.
fn peak_here(value: f32) -> f32 {
  return value;
}

fn tells_peak() -> bool {
  return true;
}
