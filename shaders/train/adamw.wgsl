// A step of AdamW: the moments of a gradient, and the weights. With a factor of 0, of a gradient that is not finite, all stay.
#import hyper
#import NUMBERS

const SIZE = COUNT / EACH;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let i = (wid.y * grid.x + wid.x) * WG + lid;
  let factor = hyper[FACTOR];
  if (i >= SIZE || factor == 0.0) {
    return;
  }
  let g = factor * gradient[i];
  let mean = hyper[BETA1] * first[i] + (1.0 - hyper[BETA1]) * g;
  let square = hyper[BETA2] * second[i] + (1.0 - hyper[BETA2]) * g * g;
  first[i] = mean;
  second[i] = square;
  let rate = hyper[RATE];
  var kept = 1.0;
  if (DECAYS) {
    kept -= rate * hyper[DECAY];
  }
  weights[i] = kept * weights[i] - rate * hyper[CORRECTION1] * mean / (sqrt(hyper[CORRECTION2] * square) + hyper[EPSILON]);
}
