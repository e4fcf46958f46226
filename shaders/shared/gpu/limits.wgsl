// Which limits a sampler has. A token whose weight, exp((z - largest) * sharpness), is below exp(-80) is never drawn.
fn has_top_k(sampler: Sampler) -> bool {
  return sampler.top_k > 0u && sampler.top_k < VOCAB;
}

fn has_top_p(sampler: Sampler) -> bool {
  return sampler.top_p < 1.0;
}

fn lightest_logit(largest: f32, sharpness: f32) -> f32 {
  return largest - 80.0 / sharpness;
}

// The least logit that min_p keeps; without it the least there is.
fn least_of_min_p(sampler: Sampler, largest: f32) -> f32 {
  return select(-3.4e38, largest + sampler.log_min_p / sampler.sharpness, sampler.log_min_p > -1.0e30);
}
