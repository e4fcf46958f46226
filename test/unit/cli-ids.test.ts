import { expect, it } from 'vitest';
import { idWriter } from '../../src/cli/generate.ts';

it('generate --ids writes each id once, also where a last chunk only completes the text', () => {
  let written = '';
  const ids = idWriter((text) => {
    written += text;
  });
  const reply = [11, 12, 12, 14, 15];
  // The chunk that sets held text free repeats the id before it.
  const chunks = [...reply, 15];
  chunks.forEach((_, i) => {
    ids.more(chunks.slice(0, i + 1));
    expect('11,12,12,14,15'.startsWith(written)).toBe(true);
  });
  ids.done(reply);
  expect(written).toBe('11,12,12,14,15');
});
