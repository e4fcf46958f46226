// The TOP likeliest tokens of each slice, the likeliest first, lowest id first among equals; the largest logit, and the sum of
// exponentials. Only the threads whose best is among the TOP best of threads can have one of them. A workgroup a slice of a row.
#import step
#import gpu/slices
#import gpu/grouped
#import features/top
#import gpu/logits_own

const PER = 4u * TRIPS;
const POOL = max(TOP * PER, 1u);

var<workgroup> pool: array<Best, POOL>;

// A logit with its token; what is none comes last.
fn ranked(z: f32, token: u32) -> Best {
  return Best(select(-3.4e38, z, token < VOCAB && z > -3.4e38), token);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  // What is none comes last.
  var best = Best(-3.4e38, VOCAB + lid);
  for (var i = 0u; i < TRIPS; i++) {
    let quad = wid.x * SLICE4 + i * WG + lid;
    if (4u * quad < VOCAB) {
      let z = four_logits(wid.y, quad);
      for (var j = 0u; j < 4u; j++) {
        best = better(best, ranked(z[j], 4u * quad + j));
      }
    }
  }
  let mine = best;
  best = grouped_best(mine, lid);
  let rank = rank_among_threads(mine);
  var sum = 0.0;
  for (var i = 0u; i < TRIPS; i++) {
    let quad = wid.x * SLICE4 + i * WG + lid;
    // Past the row there is nothing to read.
    let z = four_logits(wid.y, min(quad, STRIDE4 - 1u));
    for (var j = 0u; j < 4u; j++) {
      let token = 4u * quad + j;
      sum += select(0.0, exp(z[j] - best.value), token < VOCAB);
      if (rank < TOP) {
        pool[rank * PER + 4u * i + j] = ranked(z[j], token);
      }
    }
  }
  sum = grouped_sum(sum, lid);
  if (lid < TOP * PER) {
    let one = pool[lid];
    var place = 0u;
    for (var i = 0u; i < TOP * PER; i++) {
      place += select(0u, 1u, is_before(pool[i], one));
    }
    if (place < TOP) {
      tops[(wid.y * SLICES + wid.x) * TOP + place] = Top(one.index, one.value);
    }
  }
  if (lid == 0u) {
    slices[wid.y * SLICES + wid.x] = Slice(best.value, best.index, sum);
  }
}
