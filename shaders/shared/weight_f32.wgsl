// Weights (rows, K) in f32; a unit is 4.
#import unit

@group(0) @binding(1) var<storage, read> weight: array<vec4f>;

fn weight_unit(unit: u32) -> Unit {
  return Unit(weight[unit], vec4f());
}
