// A sampled token: reported, and made the next step's row, so that decoding needs no word from the host.
@group(0) @binding(1) var<storage, read_write> next_rows: array<Row>;
@group(0) @binding(2) var<storage, read_write> sampled: array<u32>;
@group(0) @binding(3) var<uniform> step: Step;

fn take(index: u32, token: u32) {
  let row = step.next + index;
  next_rows[row].token = token;
  next_rows[row].position += 1u;
  sampled[row] = token;
}
