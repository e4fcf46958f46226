// A unit of each of four rows.
#import unit

struct Four {
  u0: Unit,
  u1: Unit,
  u2: Unit,
  u3: Unit,
}
