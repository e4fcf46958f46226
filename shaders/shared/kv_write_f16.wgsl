// Writes two neighbouring elements of the KV cache, packed as f16. A value past f16 is noted behind q's rows, which the host looks
// at: for each sequence, whether it is of a key (1) or of a value (2), and how large.
#import key_f16

fn kv_store(sequence: u32, element: u32, value: vec2f) {
  let size = max(abs(value.x), abs(value.y));
  if (size >= 65520.0) {
    let kind = select(2.0, 1.0, element < v_element(0u, 0u, 0u, 0u));
    q[arrayLength(&q) - SEQUENCES + sequence] = vec2f(kind, size);
  }
  kv[element / 2u] = pack2x16float(value);
}
