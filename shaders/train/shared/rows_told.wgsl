// requires: subgroups
enable subgroups;

// Rows of a, four k each: every lane brings two quads, and all lanes tell one another. A CPU that plays GPU reads for each lane,
// though all want the same. A workgroup is a subgroup.
struct Held {
  low: vec4f,
  high: vec4f,
}

const HALF = LANES / 2u;

fn hold(row0: u32, k4: u32, lane: u32) -> Held {
  if (A_TURNED) {
    let k = 4u * k4 + lane / HALF;
    let quad = row0 / 4u + lane % HALF;
    return Held(a_within(k, quad), a_within(k + 2u, quad));
  }
  return Held(a_within(row0 + lane, k4), a_within(row0 + LANES + lane, k4));
}

fn rows_0(held: Held) -> Quads {
  if (A_TURNED) {
    return turned(Quads(
      subgroupBroadcast(held.low, 0u),
      subgroupBroadcast(held.low, HALF),
      subgroupBroadcast(held.high, 0u),
      subgroupBroadcast(held.high, HALF),
    ));
  }
  return Quads(
    subgroupBroadcast(held.low, 0u),
    subgroupBroadcast(held.low, 1u),
    subgroupBroadcast(held.low, 2u),
    subgroupBroadcast(held.low, 3u),
  );
}

fn rows_1(held: Held) -> Quads {
  if (A_TURNED) {
    return turned(Quads(
      subgroupBroadcast(held.low, 1u),
      subgroupBroadcast(held.low, HALF + 1u),
      subgroupBroadcast(held.high, 1u),
      subgroupBroadcast(held.high, HALF + 1u),
    ));
  }
  // The second four of eight lanes, or of four lanes the second quads.
  let half = select(held.high, held.low, LANES > 4u);
  return Quads(
    subgroupBroadcast(half, 4u % LANES),
    subgroupBroadcast(half, 5u % LANES),
    subgroupBroadcast(half, 6u % LANES),
    subgroupBroadcast(half, 7u % LANES),
  );
}

fn rows_2(held: Held) -> Quads {
  if (A_TURNED) {
    return turned(Quads(
      subgroupBroadcast(held.low, 2u % LANES),
      subgroupBroadcast(held.low, (HALF + 2u) % LANES),
      subgroupBroadcast(held.high, 2u % LANES),
      subgroupBroadcast(held.high, (HALF + 2u) % LANES),
    ));
  }
  return Quads(
    subgroupBroadcast(held.high, 0u),
    subgroupBroadcast(held.high, 1u),
    subgroupBroadcast(held.high, 2u),
    subgroupBroadcast(held.high, 3u),
  );
}

fn rows_3(held: Held) -> Quads {
  if (A_TURNED) {
    return turned(Quads(
      subgroupBroadcast(held.low, 3u % LANES),
      subgroupBroadcast(held.low, (HALF + 3u) % LANES),
      subgroupBroadcast(held.high, 3u % LANES),
      subgroupBroadcast(held.high, (HALF + 3u) % LANES),
    ));
  }
  return Quads(
    subgroupBroadcast(held.high, 4u % LANES),
    subgroupBroadcast(held.high, 5u % LANES),
    subgroupBroadcast(held.high, 6u % LANES),
    subgroupBroadcast(held.high, 7u % LANES),
  );
}
