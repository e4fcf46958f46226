// Draws one token of each row of logits (rows, VOCAB); a workgroup a row. Keeps, in this order: the top_k largest; of those the
// fewest largest whose probability reaches top_p; of those the ones at least min_p times the largest. Exact at any vocabulary:
// nothing is sorted, each limit is a value found digit by digit, and equals of the limit are all kept.
#import step
#import best
#import workgroup
#import sampling
#import next
#import key
#import draw

// Sums over the workgroup of (keys at or above a probe), for 16 probes at once. Half of the threads bring theirs first: of 256, all
// would take the 16,384 bytes that a workgroup is sure to have.
const HALF = WG / 2u;
var<workgroup> probes: array<array<vec4f, 4>, HALF>;

// The largest key such that tokens at or above it, and at or above `floor`, weigh at least `goal`; a token weighs one, or with
// BY_MASS exp((z - largest) * sharpness). Four bits a round.
fn limit(at: u32, lid: u32, floor_key: u32, goal: f32, by_mass: bool, largest: f32, sharpness: f32) -> u32 {
  var found = 0u;
  for (var shift = 28i; shift >= 0i; shift -= 4i) {
    let digit = u32(shift);
    var mine = array<vec4f, 4>();
    for (var i = lid; i < VOCAB; i += WG) {
      let z = logits[at + i];
      let key = key_of(z);
      // The highest probe that this key reaches, if it reaches any.
      if (key >= floor_key && key >= found) {
        let reached = min((key - found) >> digit, 15u);
        let weight = select(1.0, exp((z - largest) * sharpness), by_mass);
        let quad = reached / 4u;
        let one = select(vec4f(), vec4f(weight), vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(reached % 4u));
        mine[0] += select(vec4f(), one, quad == 0u);
        mine[1] += select(vec4f(), one, quad == 1u);
        mine[2] += select(vec4f(), one, quad == 2u);
        mine[3] += select(vec4f(), one, quad == 3u);
      }
    }
    if (lid >= HALF) {
      probes[lid - HALF] = mine;
    }
    workgroupBarrier();
    if (lid < HALF) {
      for (var j = 0u; j < 4u; j++) {
        probes[lid][j] += mine[j];
      }
    }
    workgroupBarrier();
    for (var half = HALF / 2u; half > 0u; half /= 2u) {
      if (lid < half) {
        for (var j = 0u; j < 4u; j++) {
          probes[lid][j] += probes[lid + half][j];
        }
      }
      workgroupBarrier();
    }
    // From the highest probe down, the first at which the weight above reaches the goal.
    let sums = workgroupUniformLoad(&probes[0]);
    var above = 0.0;
    var probe = 16u;
    loop {
      probe -= 1u;
      above += sums[probe / 4u][probe % 4u];
      if (above >= goal || probe == 0u) {
        break;
      }
    }
    found += probe << digit;
  }
  return found;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let at = wid.x * STRIDE4 * 4u;
  let sampler = samplers[step.next + wid.x];
  var best = Best(-3.4e38, 0u);
  for (var i = lid; i < VOCAB; i += WG) {
    best = better(best, Best(logits[at + i], i));
  }
  best = workgroup_argmax(best, lid);
  var token = best.index;
  let sharpness = sampler.sharpness;
  if (sharpness > 0.0) {
    var floor_key = 0u;
    if (sampler.top_k > 0u && sampler.top_k < VOCAB) {
      floor_key = limit(at, lid, 0u, f32(sampler.top_k), false, best.value, sharpness);
    }
    if (sampler.top_p < 1.0) {
      var mine = 0.0;
      for (var i = lid; i < VOCAB; i += WG) {
        let z = logits[at + i];
        mine += select(0.0, exp((z - best.value) * sharpness), key_of(z) >= floor_key);
      }
      let goal = sampler.top_p * workgroup_sum(mine, lid);
      floor_key = max(floor_key, limit(at, lid, floor_key, goal, true, best.value, sharpness));
    }
    if (sampler.log_min_p > -1.0e30) {
      floor_key = max(floor_key, key_of(best.value + sampler.log_min_p / sharpness));
    }
    // Each thread weighs its tokens; the thread in whose share the draw falls walks them again.
    var mine = 0.0;
    for (var i = lid; i < VOCAB; i += WG) {
      let z = logits[at + i];
      mine += select(0.0, exp((z - best.value) * sharpness), key_of(z) >= floor_key);
    }
    workgroup_values[lid] = mine;
    workgroupBarrier();
    if (lid == 0u) {
      var total = 0.0;
      for (var t = 0u; t < WG; t++) {
        total += workgroup_values[t];
      }
      var left = total * drawn(sampler.seed, next_rows[step.next + wid.x]);
      var chosen = 0u;
      for (var t = 0u; t < WG; t++) {
        let share = workgroup_values[t];
        if (share > 0.0) {
          chosen = t;
          if (left < share) {
            break;
          }
        }
        left -= share;
      }
      for (var i = chosen; i < VOCAB; i += WG) {
        let z = logits[at + i];
        let weight = select(0.0, exp((z - best.value) * sharpness), key_of(z) >= floor_key);
        // Rounding may leave a rest after the last token: it must not fall to one that weighs nothing, as masked ones do.
        if (weight > 0.0) {
          token = i;
          left -= weight;
          if (left < 0.0) {
            break;
          }
        }
      }
    }
  }
  if (lid == 0u) {
    take(wid.x, token);
  }
}
