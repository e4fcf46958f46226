// requires: shader-f16
enable f16;

// Weights (rows, K) in f16, converted by the hardware.
#import unit

@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;

fn weight_unit(unit: u32) -> Unit {
  let w = weight[unit];
  return Unit(vec4f(bitcast<vec4<f16>>(w.xy)), vec4f(bitcast<vec4<f16>>(w.zw)));
}
