// Draws one token of each row from the candidates of its slices: a workgroup a row, a thread a slice. Keeps, in this order: the top_k
// largest; of those the fewest largest whose probability reaches top_p; of those the ones at least min_p times the largest.
// Exact at any vocabulary: each limit is a key found bit by bit, by searches in the sorted candidates, and equals of the limit are
// all kept. Tokens have their share of the draw by their order.
#import step
#import gpu/slices
#import gpu/row_best
#import sampling
#import gpu/limits
#import key
#import gpu/logits_own
#import next
#import draw

var<workgroup> all_sums: array<vec4f, WG>;
var<workgroup> some_sums: array<vec4f, 16>;

fn grouped_sums(mine: vec4f, lid: u32) -> vec4f {
  all_sums[lid] = mine;
  workgroupBarrier();
  if (lid < 16u) {
    var sum = vec4f();
    for (var i = 0u; i < 16u; i++) {
      sum += all_sums[16u * i + lid];
    }
    some_sums[lid] = sum;
  }
  workgroupBarrier();
  var sum = vec4f();
  for (var i = 0u; i < 16u; i++) {
    sum += some_sums[i];
  }
  return sum;
}

// Candidates `low .. high` of this thread's slice, which begin at `start`, and the keys of the first and the last.
struct Range {
  start: u32,
  low: u32,
  high: u32,
  first: u32,
  last: u32,
}

fn range_of(start: u32, low: u32, high: u32) -> Range {
  if (low == high) {
    return Range(start, low, high, 0u, 0u);
  }
  return Range(start, low, high, candidate_keys[start + low], candidate_keys[start + high - 1u]);
}

// How many candidates of the slice have at least this key, of which the last is in the range.
fn reaching(key: u32, range: Range) -> u32 {
  var low = range.low;
  var high = range.high;
  if (low == high || range.first < key) {
    return low;
  }
  if (range.last >= key) {
    return high;
  }
  while (low < high) {
    let middle = (low + high) / 2u;
    if (candidate_keys[range.start + middle] >= key) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  return low;
}

// Weight of the first candidates of the slice.
fn mass_of(start: u32, count: u32) -> f32 {
  if (count == 0u) {
    return 0.0;
  }
  return candidate_masses[start + count - 1u];
}

fn amount(start: u32, count: u32, by_mass: bool) -> f32 {
  if (by_mass) {
    return mass_of(start, count);
  }
  return f32(count);
}

struct Limit {
  key: u32,
  // How many candidates of the slice are kept.
  count: u32,
}

// The largest key such that the candidates at or above it amount to the goal: two bits a round.
fn limit(start: u32, count: u32, goal: f32, by_mass: bool, lid: u32) -> Limit {
  var found = 0u;
  var range = range_of(start, 0u, count);
  for (var round = 0u; round < 16u; round++) {
    let shift = 30u - 2u * round;
    let three = reaching(found + (3u << shift), range);
    let two = reaching(found + (2u << shift), range);
    let one = reaching(found + (1u << shift), range);
    let sums = grouped_sums(
      vec4f(amount(start, one, by_mass), amount(start, two, by_mass), amount(start, three, by_mass), 0.0),
      lid,
    );
    var low = range.low;
    var high = range.high;
    if (sums.z >= goal) {
      found += 3u << shift;
      high = three;
    } else if (sums.y >= goal) {
      found += 2u << shift;
      low = three;
      high = two;
    } else if (sums.x >= goal) {
      found += 1u << shift;
      low = two;
      high = one;
    } else {
      low = one;
    }
    if (low != range.low || high != range.high) {
      range = range_of(start, low, high);
    }
  }
  return Limit(found, range.high);
}

var<workgroup> shares: array<f32, WG>;
var<workgroup> group_shares: array<f32, 16>;

// Notes the share of each thread; returns the whole.
fn share_out(mine: f32, lid: u32) -> f32 {
  workgroupBarrier();
  shares[lid] = mine;
  workgroupBarrier();
  if (lid < 16u) {
    var sum = 0.0;
    for (var i = 0u; i < 16u; i++) {
      sum += shares[16u * lid + i];
    }
    group_shares[lid] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < 16u; i++) {
    sum += group_shares[i];
  }
  return sum;
}

struct Pick {
  index: u32,
  // Of the draw, within the share.
  left: f32,
}

// The thread in whose share the draw falls. Rounding may leave a rest after the last: it falls to the last that has a share.
fn pick(draw: f32) -> Pick {
  var left = draw;
  var group = Pick(0u, draw);
  for (var i = 0u; i < 16u; i++) {
    let share = group_shares[i];
    if (share > 0.0 && left >= 0.0) {
      group = Pick(i, left);
    }
    left -= share;
  }
  left = group.left;
  var one = Pick(16u * group.index, left);
  for (var i = 16u * group.index; i < 16u * group.index + 16u; i++) {
    let share = shares[i];
    if (share > 0.0 && left >= 0.0) {
      one = Pick(i, left);
    }
    left -= share;
  }
  return one;
}

// Weights of four neighbours; 0 for those that are not kept.
fn weights_of(row: u32, quad: u32, largest: f32, sharpness: f32, floor_logit: f32) -> vec4f {
  let token = vec4<u32>(4u * quad) + vec4<u32>(0u, 1u, 2u, 3u);
  if (token.x >= VOCAB) {
    return vec4f();
  }
  let z = four_logits(row, quad);
  return select(
    vec4f(),
    exp((z - largest) * sharpness),
    (token < vec4<u32>(VOCAB)) & (z >= vec4f(floor_logit)),
  );
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let sampler = samplers[step.next + wid.x];
  let sharpness = sampler.sharpness;
  let best = row_best(wid.x, lid);
  var token = best.index;
  var taker = 0u;
  if (sharpness > 0.0) {
    let start = 4u * (wid.x * STRIDE4 + lid * SLICE4);
    var segment = Segment(0u, 0.0);
    if (lid < SLICES) {
      segment = segments[wid.x * SLICES + lid];
    }
    var mass = segment.mass;
    let least = least_of_min_p(sampler, best.value);
    var floor_logit = max(lightest_logit(best.value, sharpness), least);
    if (has_top_k(sampler) || has_top_p(sampler)) {
      var kept = segment.count;
      var floor_key = 0u;
      if (has_top_k(sampler)) {
        let found = limit(start, kept, f32(sampler.top_k), false, lid);
        floor_key = found.key;
        kept = found.count;
        mass = mass_of(start, kept);
      }
      if (has_top_p(sampler)) {
        let goal = sampler.top_p * grouped_sum(mass, lid);
        let found = limit(start, kept, goal, true, lid);
        floor_key = max(floor_key, found.key);
        kept = found.count;
      }
      kept = reaching(key_of(least), range_of(start, 0u, kept));
      mass = mass_of(start, kept);
      // A key that is none is where all are kept.
      floor_logit = max(floor_logit, select(-3.4e38, value_of(floor_key), floor_key >= key_of(-3.4e38)));
    }
    // The slice, then the thread that has the token.
    let slice = pick(share_out(mass, lid) * drawn(sampler.seed, next_rows[step.next + wid.x]));
    let first = slice.index * SLICE4 + lid * TRIPS;
    var own = 0.0;
    for (var i = 0u; i < TRIPS; i++) {
      own += dot(weights_of(wid.x, first + i, best.value, sharpness, floor_logit), vec4f(1.0));
    }
    share_out(own, lid);
    let thread = pick(slice.left);
    taker = thread.index;
    if (lid == taker) {
      var left = thread.left;
      for (var i = 0u; i < TRIPS; i++) {
        let weights = weights_of(wid.x, first + i, best.value, sharpness, floor_logit);
        for (var j = 0u; j < 4u; j++) {
          if (weights[j] > 0.0 && left >= 0.0) {
            token = 4u * (first + i) + j;
          }
          left -= weights[j];
        }
      }
    }
  }
  if (lid == taker) {
    take(wid.x, token);
  }
}
