// Weights (rows, K) in f32.
#import unit

@group(0) @binding(1) var<storage, read> weight: array<vec4f>;

fn weight_unit(unit: u32) -> Unit {
  return Unit(weight[2u * unit], weight[2u * unit + 1u]);
}
