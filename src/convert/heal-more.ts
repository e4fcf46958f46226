// Goes on healing a child, wherever its folder is to be.
import { ShishuError, throwIfAborted } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { isObject, type Json, readJson, readOptionalJson } from '../formats/json.ts';
import type { Source } from '../formats/source.ts';
import type { ModelSpec } from '../model/spec.ts';
import { hashOf } from '../train/random.ts';
import { parentAnswers } from './answers.ts';
import { perplexity } from './calibrate.ts';
import { healIdentity, textHash } from './convert.ts';
import type { OnEvent } from './events.ts';
import { checkHealing, type HealOptions, planHealing } from './heal-plan.ts';
import type { Log } from './healing-run.ts';
import { freshOf } from './mixture.ts';
import { CARD_FILE, modelCard, parentFacts } from './model-card.ts';
import { type OnGpu, type OpenOptions, withOnGpu } from './on-gpu.ts';
import { Progress } from './progress.ts';
import { measureQuality, qualityText, qualityTexts } from './quality.ts';
import { type ConvertReport, type HealingReport, REPORT_FILE } from './report.ts';
import { type Stage, type Staged, WORK_FILES } from './staged.ts';
import type { Windows } from './windows.ts';
import { healWritten } from './write-child.ts';

export interface HealMoreOptions {
  heal: HealOptions;
  log?: Log | undefined;
  onEvent?: OnEvent | undefined;
  signal?: AbortSignal | undefined;
}

/** Bytes of a file that are copied at a time. */
const PIECE = 2 ** 26;

/** @throws ShishuError `bad-argument` when a model cannot be healed to this parent */
function checkKin(parent: OnGpu, child: Source, spec: ModelSpec): void {
  const kin = (of: ModelSpec): Record<string, number> => ({
    blocks: of.blocks.length,
    'hidden size': of.hiddenSize,
    tokens: of.vocabSize,
  });
  const [its, own] = [kin(parent.spec), kin(spec)];
  for (const [name, value] of Object.entries(own))
    if (its[name] !== value)
      throw new ShishuError(
        'bad-argument',
        `${child.name} is no child of ${parent.source.name}: ${name} ${value} against ${its[name]}.`,
        {
          details: { child: child.name, parent: parent.source.name },
          mend: 'Name the parent that it was made of.',
        },
      );
}

/** Tokens that a child was healed with before, as its report has it. */
function healedTokens(report: Json | undefined): number {
  const healing = report?.healing;
  if (!isObject(healing)) return 0;
  const earlier = Array.isArray(healing.earlier) ? (healing.earlier as Json[]) : [];
  return [healing, ...earlier].reduce((sum, { tokens }) => sum + (Number(tokens) || 0), 0);
}

/** Copies a folder's files, but for those of work that is under way, and the report, which says that a folder is complete. */
async function copyFiles(from: Source, staged: Staged, signal: AbortSignal | undefined): Promise<void> {
  async function* pieces(file: string, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < size; at += PIECE) {
      throwIfAborted(signal);
      yield await from.read(file, at, Math.min(size, at + PIECE), signal);
    }
  }
  for (const file of (await from.list?.()) ?? []) {
    if (WORK_FILES.includes(file) || file === REPORT_FILE) continue;
    const size = await from.size(file, signal);
    await staged.write(file, pieces(file, size ?? 0));
  }
}

/**
 * Goes on healing a child with text that it was not healed with yet, and writes its folder, whole or not at all. Where the folder has
 * a `place`, the same call goes on from what is there.
 * @param text the text that the child was made with, and so many tokens of it to heal with
 * @returns what healing did, as it is in the child's report
 * @throws ShishuError as `convert`; `bad-argument` for a parent that is not the child's
 */
export async function healMore(
  parent: OnGpu,
  child: Source,
  text: (progress: Progress, healTokens: number) => Promise<Windows>,
  stage: Stage,
  { heal, log = () => {}, onEvent = () => {}, signal }: HealMoreOptions,
  gpuOptions: OpenOptions = {},
): Promise<HealingReport> {
  const config = await readJson(child, 'config.json', { code: 'bad-config' }, signal);
  const report = await readOptionalJson(child, REPORT_FILE, { code: 'bad-config' }, signal);
  const spec = specOf(config);
  checkKin(parent, child, spec);
  const staged = await stage();
  const progress = await Progress.open(staged, {
    child: hashOf(JSON.stringify([config, report])),
    parent: hashOf(JSON.stringify(parent.configJson)),
    ...healIdentity(heal),
  });
  try {
    const done = await healStaged();
    throwIfAborted(signal);
    await staged.commit();
    return done;
  } catch (error) {
    if (!progress.keeps) await staged.discard();
    else if (!(error instanceof ShishuError && error.code === 'bad-checkpoint'))
      log(`What is done is kept in ${staged.place}: the same command goes on from there.`);
    throw error;
  }

  async function healStaged(): Promise<HealingReport> {
    const used = healedTokens(report);
    const all = await text(progress, used + heal.tokens);
    const windows = { ...all, healing: freshOf(all.healing, used, heal.tokens) };
    checkHealing(parent.spec, windows, heal);
    progress.check({ text: textHash(windows) });
    await progress.stage('copied', async () => {
      await copyFiles(child, staged, signal);
      return true;
    });
    onEvent({ kind: 'stage', stage: 'written' });
    const before = await progress.stage('perplexity before', () =>
      withOnGpu(staged.source, gpuOptions, (model) => perplexity(model, windows.test, signal)),
    );
    log(`before: perplexity ${before.toFixed(3)}`);
    onEvent({ kind: 'stage', stage: 'healing' });
    const plan = await progress.stage('healing', async () => planHealing(parent.spec, spec, windows, heal));
    const healing = await progress.stage('healed', () =>
      healWritten(staged, parent, windows, {
        ...heal,
        plan,
        log,
        signal,
        onCurve: (curve) => onEvent({ kind: 'curve', curve, steps: plan.steps }),
        onCheckpoint: () => {
          progress.keeps = true;
        },
      }),
    );
    onEvent({ kind: 'curve', curve: healing.curve, steps: plan.steps });
    const answers = await progress.stage('answers', () => parentAnswers(parent, { log, signal }));
    const quality = await progress.stage('quality after', () =>
      withOnGpu(staged.source, gpuOptions, (model) =>
        measureQuality(model, answers, qualityTexts(parent, windows), { signal }),
      ),
    );
    const after = quality.heldOut.perplexity;
    log(`healed further: ${qualityText(quality)}`);
    const done: HealingReport = {
      ...healing,
      perplexity: { before, after },
      earlier: earlierOf(report?.healing),
    };
    const whole = { ...report, healing: done } as unknown as ConvertReport;
    // One that was written by hand, or elsewhere, has none.
    const last = whole.steps?.at(-1);
    if (last) {
      const step = { ...last, step: 'healed further', perplexity: after, quality };
      whole.steps = [...whole.steps, step];
      onEvent({ kind: 'step', step });
      const facts = await parentFacts(parent.source);
      await staged.write(CARD_FILE, modelCard(whole, facts, String(config.model_type)));
    }
    await staged.write(REPORT_FILE, `${JSON.stringify(whole, null, 2)}\n`);
    return done;
  }
}

/** The healings before, the latest first. */
function earlierOf(before: unknown): HealingReport[] {
  if (!isObject(before)) return [];
  const { earlier = [], ...last } = before as unknown as HealingReport;
  return [last, ...earlier];
}
