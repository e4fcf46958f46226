// Numbers of an array one at a time, as by_four.wgsl.
alias Some = f32;
alias Mask = bool;
const EACH = 1u;

fn total(values: Some) -> f32 {
  return values;
}

fn largest(values: Some) -> f32 {
  return values;
}

fn is_at(at: u32, place: u32) -> Mask {
  return at == place;
}
