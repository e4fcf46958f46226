// What a draw may fall on, of each slice: with top_k or top_p the candidates, the largest first, with sums of their weights; else the
// weight of what min_p keeps. The cut is one that no kept token is below, and near the real limit: the largest logits of the
// slices give it. A workgroup a slice of a row.
#import step
#import gpu/slices
#import gpu/row_best
#import sampling
#import gpu/limits
#import key
#import gpu/logits_own

const PER = 4u * TRIPS;

var<workgroup> keys: array<u32, SLICE>;
var<workgroup> kth: f32;
var<workgroup> many: u32;

// The `rank`-th largest of what the slices of the row have as their largest: as many tokens are at or above it.
fn kth_largest(rank: u32, lid: u32) -> f32 {
  let mine = all_best[lid].value;
  var before = 0u;
  for (var i = 0u; i < SLICES; i++) {
    let other = all_best[i].value;
    before += select(0u, 1u, other > mine || (other == mine && i < lid));
  }
  if (lid < SLICES && before == rank - 1u) {
    kth = mine;
  }
  workgroupBarrier();
  return kth;
}

// The largest first, of `size` keys, a power of two: a bitonic sort.
fn sort(size: u32, lid: u32) {
  for (var span = 2u; span <= size; span *= 2u) {
    for (var apart = span / 2u; apart > 0u; apart /= 2u) {
      for (var i = 0u; i < PER / 2u; i++) {
        let pair = i * WG + lid;
        let at = 2u * pair - (pair & (apart - 1u));
        if (2u * pair < size) {
          let a = keys[at];
          let b = keys[at + apart];
          if ((a < b) == ((at & span) == 0u)) {
            keys[at] = b;
            keys[at + apart] = a;
          }
        }
      }
      workgroupBarrier();
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let sampler = samplers[step.next + wid.y];
  let sharpness = sampler.sharpness;
  // Greedy rows are not drawn.
  if (sharpness > 0.0) {
    let best = row_best(wid.y, lid);
    let lightest = lightest_logit(best.value, sharpness);
    var cut = lightest;
    if (has_top_k(sampler)) {
      if (sampler.top_k <= SLICES) {
        cut = max(cut, kth_largest(sampler.top_k, lid));
      }
    } else if (has_top_p(sampler)) {
      // All tokens lighter than this together are less than what top_p leaves out: the largest of each slice are some of the whole.
      let least = grouped_sum(select(0.0, exp((all_best[lid].value - best.value) * sharpness), lid < SLICES), lid);
      cut = max(cut, best.value + log(0.5 * (1.0 - sampler.top_p) * least / f32(VOCAB)) / sharpness);
    } else {
      cut = max(cut, least_of_min_p(sampler, best.value));
    }
    let sorts = has_top_k(sampler) || has_top_p(sampler);
    let least_weighed = select(cut, lightest, sorts);
    var mass = 0.0;
    var count = 0u;
    for (var i = 0u; i < TRIPS; i++) {
      let quad = wid.x * SLICE4 + i * WG + lid;
      let token = vec4<u32>(4u * quad) + vec4<u32>(0u, 1u, 2u, 3u);
      if (token.x < VOCAB) {
        let z = four_logits(wid.y, quad);
        let there = token < vec4<u32>(VOCAB);
        let weights = exp((z - best.value) * sharpness);
        mass += dot(select(vec4f(), weights, there & (z >= vec4f(least_weighed))), vec4f(1.0));
        let kept = select(vec4<u32>(), vec4<u32>(1u), there & (z >= vec4f(cut)));
        count += kept.x + kept.y + kept.z + kept.w;
      }
    }
    mass = grouped_sum(mass, lid);
    if (sorts) {
      let counted = grouped_scan(f32(count), lid);
      var to = u32(counted.x);
      for (var i = 0u; i < TRIPS; i++) {
        let quad = wid.x * SLICE4 + i * WG + lid;
        if (4u * quad < VOCAB) {
          let z = four_logits(wid.y, quad);
          for (var j = 0u; j < 4u; j++) {
            if (4u * quad + j < VOCAB && z[j] >= cut) {
              keys[to] = key_of(z[j]);
              to += 1u;
            }
          }
        }
      }
      if (lid == 0u) {
        many = u32(counted.y);
      }
      let all = workgroupUniformLoad(&many);
      var size = 1u;
      if (all > 1u) {
        size = 2u << firstLeadingBit(all - 1u);
      }
      for (var i = 0u; i < PER; i++) {
        let at = i * WG + lid;
        if (at >= all && at < size) {
          keys[at] = 0u;
        }
      }
      workgroupBarrier();
      sort(size, lid);
      // Each thread has neighbours.
      var own = 0.0;
      for (var i = 0u; i < PER; i++) {
        let at = lid * PER + i;
        if (at < all) {
          own += exp((value_of(keys[at]) - best.value) * sharpness);
        }
      }
      var sum = grouped_scan(own, lid).x;
      let start = 4u * (wid.y * STRIDE4 + wid.x * SLICE4);
      for (var i = 0u; i < PER; i++) {
        let at = lid * PER + i;
        if (at < all) {
          sum += exp((value_of(keys[at]) - best.value) * sharpness);
          candidate_keys[start + at] = keys[at];
          candidate_masses[start + at] = sum;
        }
      }
      count = all;
    }
    if (lid == 0u) {
      segments[wid.y * SLICES + wid.x] = Segment(select(0u, count, sorts), mass);
    }
  }
}
