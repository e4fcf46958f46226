// Logits after penalties, bias and mask, which are also written.
#import sampling
#import adjusted

fn four_logits(row: u32, quad: u32) -> vec4f {
  let z = logits[row * STRIDE4 + quad];
  let next = next_rows[step.next + row];
  let sampler = samplers[step.next + row];
  let token = 4u * quad;
  let out = vec4f(
    adjusted_logit(z.x, token, next, sampler),
    adjusted_logit(z.y, token + 1u, next, sampler),
    adjusted_logit(z.z, token + 2u, next, sampler),
    adjusted_logit(z.w, token + 3u, next, sampler),
  );
  adjusted[row * STRIDE4 + quad] = out;
  return out;
}
