// A token's logit after, in this order: repetition (positive / p, negative * p), frequency and presence over the reply, bias, then
// the mask. The token chosen last is counted here; before the first choice the row holds no token of the vocabulary.
fn adjusted_logit(logit: f32, token: u32, row: Row, sampler: Sampler) -> f32 {
  // Padding of the row.
  if (token >= VOCAB) {
    return logit;
  }
  let at = row.sequence * VOCAB + token;
  var count = counts[at];
  if (row.token == token) {
    count += 2u;
    counts[at] = count;
  }
  var z = logit;
  if (count > 0u) {
    z = select(z * sampler.repetition, z / sampler.repetition, z > 0.0);
  }
  let times = f32(count / 2u);
  z -= times * sampler.frequency + min(times, 1.0) * sampler.presence;
  if (HAS_BIAS) {
    z += bias[at];
  }
  if (HAS_MASK && (mask[row.sequence * MASK_WORDS + token / 32u] & (1u << (token % 32u))) == 0u) {
    z = -3.0e38;
  }
  return z;
}
