// Goes on healing a child, wherever its folder is to be.

import { storedDtype } from '../engine/engine.ts';
import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { isObject, type Json, readJson, readOptionalJson } from '../formats/json.ts';
import type { Source } from '../formats/source.ts';
import { type ModelSpec, tensorsOf } from '../model/spec.ts';
import { hashOf } from '../train/random.ts';
import { parentAnswers } from './answers.ts';
import { healIdentity, textHash } from './convert.ts';
import { copyFiles } from './copy-files.ts';
import type { OnEvent } from './events.ts';
import { checkHealable, checkHealing, type HealOptions } from './heal-plan.ts';
import type { Log } from './healing-run.ts';
import { freshOf } from './mixture.ts';
import { CARD_FILE, modelCard, parentFacts } from './model-card.ts';
import { bytesOf, type OnGpu, type OpenOptions, withOnGpu } from './on-gpu.ts';
import { Progress } from './progress.ts';
import { measureQuality, type Quality, qualityText, qualityTexts } from './quality.ts';
import { type ConvertReport, type HealingReport, REPORT_FILE } from './report.ts';
import type { Stage, Staged } from './staged.ts';
import { modelSize, type StageReport } from './stages.ts';
import type { Windows } from './windows.ts';
import { healStages } from './write-child.ts';

export interface HealMoreOptions {
  heal: HealOptions;
  /** Ask only so many of the questions whose answers are compared (default all). */
  questions?: number | undefined;
  log?: Log | undefined;
  onEvent?: OnEvent | undefined;
  signal?: AbortSignal | undefined;
}

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
  { heal, questions, log = () => {}, onEvent = () => {}, signal }: HealMoreOptions,
  gpuOptions: OpenOptions = {},
): Promise<HealingReport> {
  const config = await readJson(child, 'config.json', { code: 'bad-config' }, signal);
  const report = await readOptionalJson(child, REPORT_FILE, { code: 'bad-config' }, signal);
  const spec = specOf(config);
  checkKin(parent, child, spec);
  checkHealable(parent.spec);
  const staged = await stage();
  const progress = await Progress.open(staged, {
    child: hashOf(JSON.stringify([config, report])),
    parent: hashOf(JSON.stringify(parent.configJson)),
    ...healIdentity(heal),
  });
  return progress.finish(healStaged, { log, signal });

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
    const texts = qualityTexts(parent, windows);
    const answers = await progress.stage('answers', () => parentAnswers(parent, { questions, log, signal }));
    const measured = async (when: string): Promise<Quality> => {
      const quality = await progress.stage(`quality ${when}`, () =>
        withOnGpu(staged.source, gpuOptions, (model) => measureQuality(model, answers, texts, { signal })),
      );
      log(`${when}: ${qualityText(quality)}`);
      return quality;
    };
    const before = await measured('before');
    onEvent({ kind: 'stage', stage: 'healing' });
    const healing = await healStages(progress, parent, spec, windows, heal, { log, onEvent, signal });
    const after = await measured('healed on');
    const done: HealingReport = {
      ...healing,
      perplexity: { before: before.heldOut.perplexity, after: after.heldOut.perplexity },
      earlier: earlierOf(report?.healing),
    };
    const step = await writeReport(staged, parent, { ...report, healing: done }, after);
    if (step) onEvent({ kind: 'step', step });
    return done;
  }
}

/** The report with what the child is worth now, and the card where it is a whole report. */
async function writeReport(
  staged: Staged,
  parent: OnGpu,
  report: Json,
  quality: Quality,
): Promise<StageReport | undefined> {
  const config = await readJson(staged.source, 'config.json', { code: 'bad-config' });
  const spec = specOf(config);
  let step: StageReport | undefined;
  if (Array.isArray(report.steps)) {
    const checkpoint = await openCheckpoint(staged.source, tensorsOf(spec));
    const { perplexity } = quality.heldOut;
    const size = modelSize(spec, bytesOf(storedDtype(checkpoint, spec)));
    step = { step: 'healed on', perplexity, quality, ...size };
    report.steps = [...report.steps, step as unknown as Json];
    const facts = await parentFacts(parent.source);
    const card = modelCard(report as unknown as ConvertReport, facts, String(config.model_type));
    await staged.write(CARD_FILE, card);
  }
  await staged.write(REPORT_FILE, `${JSON.stringify(report, null, 2)}\n`);
  return step;
}

/** The healings before, the latest first. */
function earlierOf(before: unknown): HealingReport[] {
  if (!isObject(before)) return [];
  const { earlier = [], ...last } = before as unknown as HealingReport;
  return [last, ...earlier];
}
