// Writes two neighbouring elements of the KV cache, packed as f16. A value past f16 is noted behind q's rows, which the host looks
// at: for each sequence, whether it is of a key (1) or of a value (2), and how large.
fn kv_store(element: u32, value: vec2f) {
  let size = max(abs(value.x), abs(value.y));
  if (size >= 65520.0) {
    // The keys of all sequences, then their values.
    let at = element / (KV_HEADS * HEAD_DIM * CONTEXT);
    q[arrayLength(&q) - SEQUENCES + at % SEQUENCES] = vec2f(select(1.0, 2.0, at >= SEQUENCES), size);
  }
  kv[element / 2u] = pack2x16float(value);
}
