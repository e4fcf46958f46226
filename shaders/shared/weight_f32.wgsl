// Weights (rows, K) in f32; a unit is 4.
#import unit

fn weight_unit(unit: u32) -> Unit {
  return Unit(weight[unit], vec4f());
}
