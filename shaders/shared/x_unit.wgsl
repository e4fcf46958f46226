// Reads a unit of x, which whoever imports this declares.
#import unit

fn x_unit(at: u32) -> Unit {
  var unit = Unit();
  unit.a = x[at];
  if (UNIT4 > 1u) {
    unit.b = x[at + 1u];
  }
  return unit;
}
