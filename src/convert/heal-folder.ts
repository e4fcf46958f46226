import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { storedDtype } from '../engine/engine.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { isObject, type Json, readJson, readOptionalJson } from '../formats/json.ts';
import { openFolder } from '../formats/node-folder.ts';
import type { Source } from '../formats/source.ts';
import { type ModelSpec, tensorsOf } from '../model/spec.ts';
import { hashOf } from '../train/random.ts';
import { parentAnswers } from './answers.ts';
import { healIdentity, textHash } from './convert.ts';
import { refuseExisting, stageFolder } from './folder.ts';
import { checkHealable, checkHealing, type HealOptions, planHealing } from './heal-plan.ts';
import type { Log } from './healing-run.ts';
import { freshOf } from './mixture.ts';
import { CARD_FILE, modelCard, parentFacts } from './model-card.ts';
import { bytesOf, type MergeOptions, type OnGpu, type OpenOptions, withOnGpu } from './on-gpu.ts';
import { Progress } from './progress.ts';
import { measureQuality, type Quality, qualityText, qualityTexts } from './quality.ts';
import { type ConvertReport, type HealingReport, REPORT_FILE } from './report.ts';
import { type Staged, WORK_FILES } from './staged.ts';
import { modelSize } from './stages.ts';
import { sampleStore, type TextOptions, textWindows } from './text.ts';
import { healWritten } from './write-child.ts';

export interface HealFolderOptions extends MergeOptions, Omit<TextOptions, 'healTokens' | 'kept'> {
  heal: HealOptions;
  /** As of a conversion. */
  questions?: number | undefined;
  /** Replace a folder that exists. */
  force?: boolean;
  log?: Log;
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

/** Copies a folder's files, but for those of work that is under way. */
async function copyFiles(from: string, staged: Staged, signal: AbortSignal | undefined): Promise<void> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((entry) => entry.isFile())) {
    throwIfAborted(signal);
    const path = join(entry.parentPath, entry.name);
    const file = relative(from, path);
    if (!WORK_FILES.includes(file)) await staged.write(file, createReadStream(path));
  }
}

/**
 * Goes on healing a child with text that it was not healed with yet (Node only). What is under way is in `OUT.work`, from where
 * the same call goes on; the folder is replaced once all is done.
 * @returns what healing did, as it is in the child's report
 * @throws ShishuError as `convert`; `bad-argument` for a parent that is not the child's
 */
export async function healFolder(
  folder: string,
  parentSource: Source,
  out: string,
  { force = false, adapter, heal, questions, log = () => {}, signal, ...text }: HealFolderOptions,
  gpuOptions: OpenOptions = {},
): Promise<HealingReport> {
  await refuseExisting(out, force);
  const child = await openFolder(folder);
  const config = await readJson(child, 'config.json', { code: 'bad-config' }, signal);
  const report = await readOptionalJson(child, REPORT_FILE, { code: 'bad-config' }, signal);
  const spec = specOf(config);
  return withOnGpu(parentSource, { ...gpuOptions, adapter, signal }, async (parent) => {
    checkKin(parent, child, spec);
    checkHealable(parent.spec);
    const staged = await stageFolder(out, { force });
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
      const keep = (): void => {
        progress.keeps = true;
      };
      const used = healedTokens(report);
      const all = await textWindows(
        parent,
        { ...text, signal, healTokens: used + heal.tokens, kept: sampleStore(staged, keep) },
        log,
      );
      const windows = { ...all, healing: freshOf(all.healing, used, heal.tokens) };
      checkHealing(parent.spec, windows, heal);
      progress.check({ text: textHash(windows) });
      await progress.stage('copied', async () => {
        await copyFiles(folder, staged, signal);
        return true;
      });
      const texts = qualityTexts(parent, windows);
      const answers = await progress.stage('answers', () =>
        parentAnswers(parent, { questions, log, signal }),
      );
      const measured = async (when: string): Promise<Quality> => {
        const quality = await progress.stage(`quality ${when}`, () =>
          withOnGpu(staged.source, gpuOptions, (model) => measureQuality(model, answers, texts, { signal })),
        );
        log(`${when}: ${qualityText(quality)}`);
        return quality;
      };
      const before = await measured('before');
      const plan = await progress.stage('healing', async () => planHealing(parent.spec, spec, windows, heal));
      const healing = await progress.stage('healed', () =>
        healWritten(staged, parent, windows, { ...heal, plan, log, signal, onCheckpoint: keep }),
      );
      const after = await measured('healed on');
      const done: HealingReport = {
        ...healing,
        perplexity: { before: before.heldOut.perplexity, after: after.heldOut.perplexity },
        earlier: earlierOf(report?.healing),
      };
      await writeReport(staged, parent, { ...report, healing: done }, after);
      return done;
    }
  });
}

/** The report with what the child is worth now, and the card where it is a whole report. */
async function writeReport(staged: Staged, parent: OnGpu, report: Json, quality: Quality): Promise<void> {
  const config = await readJson(staged.source, 'config.json', { code: 'bad-config' });
  const spec = specOf(config);
  if (Array.isArray(report.steps)) {
    const checkpoint = await openCheckpoint(staged.source, tensorsOf(spec));
    const { perplexity } = quality.heldOut;
    const size = modelSize(spec, bytesOf(storedDtype(checkpoint, spec)));
    report.steps = [...report.steps, { step: 'healed on', perplexity, quality, ...size }];
    const facts = await parentFacts(parent.source);
    const card = modelCard(report as unknown as ConvertReport, facts, String(config.model_type));
    await staged.write(CARD_FILE, card);
  }
  await staged.write(REPORT_FILE, `${JSON.stringify(report, null, 2)}\n`);
}

/** The healings before, the latest first. */
function earlierOf(before: unknown): HealingReport[] {
  if (!isObject(before)) return [];
  const { earlier = [], ...last } = before as unknown as HealingReport;
  return [last, ...earlier];
}
