// Weights (rows, K) in f16, packed in pairs; needs no shader-f16. Compilers make this the conversion of the hardware. A bitcast
// to f16 is refused by Firefox's compiler where it is to four, and wrong where it is to two.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let w = weight[unit];
  return Unit(
    vec4f(unpack2x16float(w.x), unpack2x16float(w.y)),
    vec4f(unpack2x16float(w.z), unpack2x16float(w.w)),
  );
}
