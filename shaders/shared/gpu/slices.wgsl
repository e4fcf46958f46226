// Rows of logits (rows, VOCAB) in slices, each of one workgroup of 256 threads; there are at most 256 slices.
const SLICE4 = WG * TRIPS;
const SLICE = 4u * SLICE4;
const SLICES = (VOCAB + SLICE - 1u) / SLICE;

struct Slice {
  // The largest logit and its token.
  value: f32,
  index: u32,
  // Of the exponentials of what each logit is below the largest, where asked for.
  sum: f32,
}

// What a slice may leave of a draw.
struct Segment {
  // Candidates, which are sorted.
  count: u32,
  // Weight of all that may be drawn before top_k and top_p.
  mass: f32,
}

// One of the likeliest tokens of a slice.
struct Top {
  index: u32,
  value: f32,
}
