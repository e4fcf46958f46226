// What a workgroup of 256 threads has together, in two rounds of 16: some threads take 16 values each, then every thread the 16
// results. The order is fixed. Uniform control flow only.
#import best

var<workgroup> all_best: array<Best, WG>;
var<workgroup> some_best: array<Best, 16>;

fn grouped_best(mine: Best, lid: u32) -> Best {
  all_best[lid] = mine;
  workgroupBarrier();
  if (lid < 16u) {
    var best = all_best[lid];
    for (var i = 1u; i < 16u; i++) {
      best = better(best, all_best[16u * i + lid]);
    }
    some_best[lid] = best;
  }
  workgroupBarrier();
  var best = some_best[0];
  for (var i = 1u; i < 16u; i++) {
    best = better(best, some_best[i]);
  }
  return best;
}

var<workgroup> all_values: array<f32, WG>;
var<workgroup> some_values: array<f32, 16>;

fn grouped_sum(mine: f32, lid: u32) -> f32 {
  all_values[lid] = mine;
  workgroupBarrier();
  if (lid < 16u) {
    var sum = 0.0;
    for (var i = 0u; i < 16u; i++) {
      sum += all_values[16u * i + lid];
    }
    some_values[lid] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < 16u; i++) {
    sum += some_values[i];
  }
  return sum;
}

var<workgroup> scanned: array<f32, WG>;
var<workgroup> scanned_sums: array<f32, 16>;

// The sum over the threads before this one, and over all.
fn grouped_scan(mine: f32, lid: u32) -> vec2f {
  scanned[lid] = mine;
  workgroupBarrier();
  if (lid < 16u) {
    var sum = 0.0;
    for (var i = 0u; i < 16u; i++) {
      let value = scanned[16u * lid + i];
      scanned[16u * lid + i] = sum;
      sum += value;
    }
    scanned_sums[lid] = sum;
  }
  workgroupBarrier();
  var sums = vec2f();
  for (var i = 0u; i < 16u; i++) {
    sums += select(vec2f(0.0, 1.0), vec2f(1.0), i < lid / 16u) * scanned_sums[i];
  }
  return vec2f(sums.x + scanned[lid], sums.y);
}
