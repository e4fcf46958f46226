// What kernels read of a weight, and of what it is multiplied with, at a time: UNIT (4 or 8) neighbours along K, as f32. Of 4, b is
// not used.
struct Unit {
  a: vec4f,
  b: vec4f,
}

const UNIT4 = UNIT / 4u;

fn unit_dot(x: Unit, y: Unit) -> f32 {
  var sum = dot(x.a, y.a);
  if (UNIT4 > 1u) {
    sum += dot(x.b, y.b);
  }
  return sum;
}

fn unit_product(x: Unit, y: Unit) -> Unit {
  var product = Unit();
  product.a = x.a * y.a;
  if (UNIT4 > 1u) {
    product.b = x.b * y.b;
  }
  return product;
}
