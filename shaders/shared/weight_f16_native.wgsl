// requires: shader-f16
enable f16;

// Weights (rows, K) in f16, converted by the hardware.
#import unit

@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;

// Two at a time: Firefox's compiler takes no bitcast to four.
fn halves(w: vec2<u32>) -> vec4f {
  return vec4f(vec2f(bitcast<vec2<f16>>(w.x)), vec2f(bitcast<vec2<f16>>(w.y)));
}

fn weight_unit(unit: u32) -> Unit {
  let w = weight[unit];
  return Unit(halves(w.xy), halves(w.zw));
}
