// A task of lm-evaluation-harness on a real model, where scripts/get-smollm2.py has made it: the harness's own figures
// (scripts/make-eval-fixture.py) are ours.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { judge, type Outcome, reportOf } from '../../src/eval/judge.ts';
import { parseTask } from '../../src/eval/task.ts';
import { openModelPath } from '../../src/formats/node-folder.ts';
import { openGpu } from '../../src/gpu/device.ts';
import expected from '../fixtures/eval-smollm2.json' with { type: 'json' };
import { SMOLLM2 } from '../support/smollm2.ts';

const TASK = join(import.meta.dirname, '../fixtures/eval-task.jsonl');

describe.runIf(SMOLLM2.runs)(SMOLLM2.name, () => {
  test('has the figures of lm-evaluation-harness', async () => {
    const gpu = await openGpu();
    const model = await loadModel(await openModelPath(SMOLLM2.gguf()), {
      device: gpu.device,
      contextLength: 256,
      dtype: 'f32',
      kv: 'f32',
      selfTest: false,
    });
    const items = parseTask(readFileSync(TASK, 'utf8'), 'eval-task.jsonl');
    const outcomes: Outcome[] = [];
    // Texts begin behind the model's first token.
    const options = { stop: ['\n'], maxTokens: 12, prefix: 1 };
    for (const item of items) outcomes.push(await judge(model, item, options));
    const { figures } = reportOf(outcomes);
    for (const [name, value] of Object.entries(expected.figures))
      expect(Math.abs(figures[name as keyof typeof figures]!.value / value - 1), name).toBeLessThan(1e-5);
    const choices = outcomes.filter((each) => each.kind === 'choice');
    for (const [i, { logprobs }] of choices.entries())
      for (const [j, logprob] of logprobs.entries())
        expect(Math.abs(logprob - expected.logprobs[i]![j]!)).toBeLessThan(1e-3);
    const said = outcomes.filter((each) => each.kind === 'match').map(({ said }) => said);
    expect(said).toEqual(expected.said.map((text) => text.trim()));
    await model.dispose();
    gpu.close();
  });
});
