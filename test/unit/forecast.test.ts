// What the conversion page says before a conversion begins.
import { describe, expect, test } from 'vitest';
import { durationText } from '../../demo/convert/device-speed.ts';
import { forecast } from '../../demo/convert/forecast.ts';
import { forecastText, furtherWork, whyNoRoom } from '../../demo/convert/forecast-text.ts';
import type { ChildChoice, TextChoice } from '../../demo/convert/request.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { type TinyModelName, tinyFiles, tinyModel } from '../support/tiny-models.ts';

const TEXT: TextChoice = { kind: 'given', texts: [], withOwn: false, tokens: 1000, window: 24 };
const foresee = (child: ChildChoice, text = TEXT, name: TinyModelName = 'mobilellm') => {
  const source = memorySource({ ...tinyFiles(tinyModel(name, 7)), ...charTokenizerFiles() });
  return forecast(source, { linear: true, ...child }, text, new AbortController().signal);
};

describe('the forecast of a conversion', () => {
  test('counts blocks, memory, storage and work by the form alone', async () => {
    const known = await foresee({ keepAttention: 1, heal: { tokens: 2000 } });
    expect(known).toMatchObject({ blocks: 3, lost: 2, dtype: 'F32', plan: { trained: 'all' } });
    expect(known.gpuBytes).toBe(4 * known.parameters + known.plan!.bytes);
    expect(Object.keys(known.work)).toEqual([
      'parent',
      'choosing',
      'dropped',
      'linear',
      'written',
      'healing',
      'speed',
    ]);
    expect(Object.keys(furtherWork(known))).toEqual(['written', 'healing']);
    const plain = await foresee({ layers: [1], linear: false });
    expect(Object.keys(plain.work)).toEqual(['parent', 'dropped', 'written', 'speed']);
    expect(plain.diskBytes.checkpoint).toBe(0);
    const own = await foresee({ maxPerplexity: 0.1 }, { ...TEXT, kind: 'own' });
    expect(own.lost).toBeUndefined();
    expect(own.work.text).toBeGreaterThan(0);
  });

  test('says it in words, and whether the time is a guess', async () => {
    const known = await foresee({ keepAttention: 1, heal: { tokens: 2000 } });
    const total = Object.values(known.work).reduce((sum, work) => sum + work, 0);
    expect(forecastText(known, { perSecond: total / 600, measured: false })).toMatch(
      /^3 blocks, .* in F32, 2 lose their attention\. Memory: .* for healing, which trains all\), .* Time: about 10 min, a guess/,
    );
    expect(forecastText(known, { perSecond: total, measured: true })).toMatch(
      /by what the last one took here\.$/,
    );
    expect(durationText(3 * 3600)).toBe('3.0 h');
  });

  test('refuses what cannot be, as the conversion does', async () => {
    await expect(foresee({}, TEXT, 'shishu')).rejects.toMatchObject({ code: 'unsupported' });
    await expect(foresee({ keepAttention: 3 })).rejects.toMatchObject({ code: 'bad-argument' });
    await expect(foresee({ heal: { tokens: 2000, memory: 1000 } })).rejects.toMatchObject({
      code: 'does-not-fit',
      mend: expect.stringContaining('let it take more memory'),
    });
  });

  test('a device without the memory or the storage is told what would do', async () => {
    const known = await foresee({ keepAttention: 1, heal: { tokens: 2000 } });
    const { parent, child, checkpoint } = known.diskBytes;
    expect(whyNoRoom(known, undefined, undefined)).toBeUndefined();
    expect(whyNoRoom(known, known.gpuBytes, parent + child + checkpoint)).toBeUndefined();
    expect(whyNoRoom(known, known.gpuBytes - 1, undefined)).toMatchObject({
      code: 'does-not-fit',
      mend: expect.stringContaining('LoRA'),
    });
    expect(whyNoRoom(known, undefined, parent)).toMatchObject({ code: 'io', details: { free: parent } });
  });
});
