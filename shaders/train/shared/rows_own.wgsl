// Rows of a, four k each, where lanes cannot tell one another: each reads them itself.
struct Held {
  row0: u32,
  k4: u32,
}

fn hold(row0: u32, k4: u32, lane: u32) -> Held {
  return Held(row0, k4);
}

fn rows_at(held: Held, at: u32) -> Quads {
  let row = held.row0 + at;
  if (A_TURNED) {
    let k = 4u * held.k4;
    let quad = row / 4u;
    return turned(Quads(a_within(k, quad), a_within(k + 1u, quad), a_within(k + 2u, quad), a_within(k + 3u, quad)));
  }
  let k4 = held.k4;
  return Quads(a_within(row, k4), a_within(row + 1u, k4), a_within(row + 2u, k4), a_within(row + 3u, k4));
}

fn rows_0(held: Held) -> Quads {
  return rows_at(held, 0u);
}

fn rows_1(held: Held) -> Quads {
  return rows_at(held, 4u);
}

fn rows_2(held: Held) -> Quads {
  return rows_at(held, 8u);
}

fn rows_3(held: Held) -> Quads {
  return rows_at(held, 12u);
}
