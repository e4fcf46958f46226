// Weights (rows, K) in bf16, packed in pairs: the upper halves of f32.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let w = weight[unit];
  let low = bitcast<vec4f>(w << vec4<u32>(16u));
  let high = bitcast<vec4f>(w & vec4<u32>(0xffff0000u));
  return Unit(vec4f(low.x, high.x, low.y, high.y), vec4f(low.z, high.z, low.w, high.w));
}
