import { storedDtype } from '../engine/engine.ts';
import { specOf } from '../families/index.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readJson } from '../formats/json.ts';
import { readOptional } from '../formats/source.ts';
import { type ModelSpec, tensorsOf } from '../model/spec.ts';
import { childTensors, healedTensors } from './child.ts';
import { MODELING_FILE } from './child-config.ts';
import type { OnEvent } from './events.ts';
import type { Fit } from './fit.ts';
import { type Healing, heal } from './heal.ts';
import { type HealOptions, planHealing } from './heal-plan.ts';
import { readHealing, writeHealing } from './healing-file.ts';
import type { HealingStore, Log } from './healing-run.ts';
import type { OnGpu } from './on-gpu.ts';
import type { Progress } from './progress.ts';
import type { Share } from './share.ts';
import { type Staged, tensorFile } from './staged.ts';
import type { Windows } from './windows.ts';

const { [`./${MODELING_FILE}`]: MODELING = '' } = import.meta.glob<string>('./modeling_shishu.py', {
  query: '?raw',
  import: 'default',
  eager: true,
});

/** Files beside the weights that a child takes over from its parent. */
const COPIED = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
  'additional_chat_templates/tool_use.jinja',
  'generation_config.json',
  'LICENSE',
  'LICENSE.md',
  'LICENSE.txt',
  'NOTICE',
];

/** Writes the child's folder but for its report. */
export async function writeChild(
  staged: Staged,
  parent: OnGpu,
  json: Record<string, unknown>,
  fits: ReadonlyMap<number, Fit>,
  share: Share,
): Promise<void> {
  await staged.write('config.json', `${JSON.stringify(json, null, 2)}\n`);
  await staged.write('model.safetensors', tensorFile(childTensors(parent, specOf(json), fits, share)));
  if (json.model_type === 'shishu') await staged.write(MODELING_FILE, MODELING);
  for (const file of COPIED) {
    const bytes = await readOptional(parent.source, file);
    if (bytes) await staged.write(file, bytes);
  }
}

/** Heals a child whose folder is written, in place; with checkpoints where there is a place for them. */
export async function healWritten(
  staged: Staged,
  parent: OnGpu,
  windows: Windows,
  options: Omit<Parameters<typeof heal>[4], 'store'> & { onCheckpoint?: () => void },
): Promise<Healing> {
  const { onCheckpoint } = options;
  const spec = specOf(await readJson(staged.source, 'config.json', { code: 'bad-config' }));
  const checkpoint = await openCheckpoint(staged.source, tensorsOf(spec));
  const store: HealingStore = {
    read: () => readHealing(staged),
    async write(kept) {
      await writeHealing(staged, kept);
      onCheckpoint?.();
    },
  };
  const { gpu } = parent.runner.parts;
  const { weights, healing } = await heal(gpu, parent, { spec, checkpoint }, windows, {
    ...options,
    ...(staged.place !== undefined && { store }),
  });
  await staged.write(
    'model.safetensors',
    tensorFile(healedTensors(spec, weights, storedDtype(checkpoint, spec))),
  );
  return healing;
}

/** The stages of healing a child whose folder is written: what is trained, and the healing itself. */
export async function healStages(
  progress: Progress,
  parent: OnGpu,
  child: ModelSpec,
  windows: Windows,
  options: HealOptions,
  { log, onEvent, signal }: { log: Log; onEvent: OnEvent; signal: AbortSignal | undefined },
): Promise<Healing> {
  // What fits now need not fit as it is gone on with.
  const plan = await progress.stage('healing', async () => planHealing(parent.spec, child, windows, options));
  const done = await progress.stage('healed', () =>
    healWritten(progress.staged, parent, windows, {
      ...options,
      plan,
      log,
      signal,
      onCurve: (curve) => onEvent({ kind: 'curve', curve, steps: plan.steps }),
      onCheckpoint: () => {
        progress.keeps = true;
      },
    }),
  );
  onEvent({ kind: 'curve', curve: done.curve, steps: plan.steps });
  return done;
}
