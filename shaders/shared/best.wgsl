// The largest value and its index over a workgroup of WG threads; the lowest index wins ties.
struct Best {
  value: f32,
  index: u32,
}

var<workgroup> workgroup_best: array<Best, WG>;

fn better(a: Best, b: Best) -> Best {
  if (b.value > a.value || (b.value == a.value && b.index < a.index)) {
    return b;
  }
  return a;
}

fn workgroup_argmax(mine: Best, lid: u32) -> Best {
  workgroup_best[lid] = mine;
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    if (lid < half) {
      workgroup_best[lid] = better(workgroup_best[lid], workgroup_best[lid + half]);
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&workgroup_best[0]);
}
