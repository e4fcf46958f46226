// A sampled token: reported, and made the next step's row, so that decoding needs no word from the host.

fn take(index: u32, token: u32) {
  let row = step.next + index;
  next_rows[row].token = token;
  next_rows[row].position += 1u;
  sampled[row] = token;
}
