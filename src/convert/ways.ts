import { ofTokens, scoreOf } from '../engine/scoring.ts';
import { ShishuError } from '../errors.ts';
import { readJson } from '../formats/json.ts';
import type { SourceLike } from '../formats/open-source.ts';
import { markdownTable } from '../markdown.ts';
import type { Mode } from '../model/prune.ts';
import { Bpe } from '../train/bpe.ts';
import type { ChatCorpus } from '../train/chat-corpus.ts';
import { knowsChatFormat } from '../train/chat-format.ts';
import { evaluate, type Scorer } from '../train/evaluate.ts';
import { parentAnswers } from './answers.ts';
import { calibrate, type LoadedModel, prunedModel } from './calibrate.ts';
import { childConfig, pairsOf } from './child-config.ts';
import { chooseLayers } from './choose-layers.ts';
import type { Fit } from './fit.ts';
import { checkHealing, type HealOptions } from './heal-plan.ts';
import { stageMemory } from './memory-folder.ts';
import { type OnGpu, type OpenOptions, refuseChild, withOnGpu } from './on-gpu.ts';
import { measureQuality, type Quality, qualityTexts } from './quality.ts';
import { layersText } from './target.ts';
import { type TokenCounts, tokenCounts, type Windows } from './windows.ts';
import { healWritten, writeChild } from './write-child.ts';

/** The ways to do without attention that are compared, as columns are headed. */
export const WAYS = {
  dropped: 'dropped',
  linear: 'linear',
  shared: 'linear + shared',
  healed: 'linear, healed',
  sharedHealed: 'linear + shared, healed',
  scratch: 'trained from scratch',
} as const;
export type Way = keyof typeof WAYS;

export interface Measured {
  /** Of test windows. */
  perplexity: number;
  /** Recall, answers as its parent gives them, and text of another kind. */
  quality: Quality;
  /** Exact answers to questions of held-out chats. */
  answers?: { right: number; questions: number };
  /** Layers without attention. */
  layers: number[];
}

/** One number of attention blocks that are kept. */
export interface WaysRow {
  kept: number;
  ways: Partial<Record<Way, Measured>>;
}

export interface WaysCompared {
  blocks: number;
  parent: Measured;
  /** From the most attention to the least. */
  rows: WaysRow[];
  tokens: TokenCounts;
  healTokens: number | undefined;
  /** Fewest blocks with attention down to which perplexity stays within 5 % of the parent's; all blocks when none may go. */
  within5: Partial<Record<Way, number>>;
  /** Numbers of blocks kept at which linear maps are no better than dropping. */
  linearNotBetter: number[];
}

export interface WaysOptions {
  /** Shares of the attention blocks to keep, 0 up to below 1; each is rounded to whole blocks. */
  fractions: readonly number[];
  heal?: HealOptions | undefined;
  /** The same architecture trained from scratch. */
  scratch?: SourceLike | undefined;
  /** Ask the questions of so many held-out chats of each kind, where the model's tokenizer knows their format. */
  chats?: { corpus: ChatCorpus; count: number } | undefined;
  /** Questions to which answers are compared with the parent's (default 50). */
  questions?: number | undefined;
  log?: (line: string) => void;
  signal?: AbortSignal | undefined;
}

const WITHIN = 1.05;

type Measure = (model: LoadedModel) => Promise<Omit<Measured, 'layers'>>;

async function measureWith(
  parent: OnGpu,
  windows: Windows,
  { chats, questions, log, signal }: WaysOptions,
): Promise<Measure> {
  const asked = knowsChatFormat(parent.tokenizer) ? chats : undefined;
  const bpe = asked
    ? Bpe.fromJson(await readJson(parent.source, 'tokenizer.json', { code: 'bad-tokenizer' }, signal))
    : undefined;
  const answers = await parentAnswers(parent, { questions, log, signal });
  const texts = qualityTexts(parent, windows);
  return async (model) => {
    const quality = await measureQuality(model, answers, texts, { signal });
    const measured = { perplexity: quality.heldOut.perplexity, quality };
    if (!asked || !bpe) return measured;
    const scorer: Scorer = {
      async score(ids) {
        const { logprobs: next, top1 } = await scoreOf(model.runner, model.plan, ids, { signal });
        return { logprobs: ofTokens(next), top1 };
      },
    };
    const { accuracy } = await evaluate(scorer, bpe, asked.corpus, { chats: asked.count });
    const sum = (field: 'right' | 'questions'): number => accuracy.reduce((n, row) => n + row[field], 0);
    return { ...measured, answers: { right: sum('right'), questions: sum('questions') } };
  };
}

/**
 * Measures what is left of a parent as attention goes, in each way; every run of blocks is chosen on the choosing windows, for
 * dropping and for linear maps apart, and everything is measured on the test windows.
 * @throws ShishuError `bad-argument`, `unsupported`, `does-not-fit`, `aborted`, and as `loadModel`
 */
export async function compareWays(
  parent: OnGpu,
  windows: Windows,
  options: WaysOptions,
  gpuOptions: OpenOptions = {},
): Promise<WaysCompared> {
  const { log = () => {}, signal, heal, scratch } = options;
  const { spec, configJson, plan, runner } = parent;
  refuseChild(parent);
  if (heal) checkHealing(spec, windows, heal);
  const blocks = spec.blocks.length;
  const counts = [...new Set(options.fractions.map((fraction) => Math.round(fraction * blocks)))]
    .filter((kept) => kept < blocks)
    .sort((a, b) => b - a);
  // Also refuses what the layout cannot express.
  for (const kept of counts) childJson(Array.from({ length: blocks - kept }, (_, layer) => layer));

  const measure = await measureWith(parent, windows, options);
  const rows = new Map<number, WaysRow>(counts.map((kept) => [kept, { kept, ways: {} }]));
  const add = async (way: Way, layers: number[], model: LoadedModel): Promise<void> => {
    const kept = blocks - layers.length;
    const row = rows.get(kept) ?? { kept, ways: {} };
    const measured = { ...(await measure(model)), layers };
    rows.set(kept, row);
    row.ways[way] = measured;
    log(`${kept} of ${blocks} blocks, ${WAYS[way]}: ${cell(measured, whole)}`);
  };
  /** Blocks in the order in which they are chosen, as many as the most that any row is without. */
  const choose = async (mode: 'skip' | 'linear'): Promise<(kept: number) => number[]> => {
    const count = blocks - Math.min(blocks, ...counts);
    const { chosen } = await chooseLayers(parent, windows, { mode, count }, { log, signal });
    const order = chosen.map(({ layer }) => layer);
    return (kept) => order.slice(0, blocks - kept).sort((a, b) => a - b);
  };
  const addPruned = (way: Way, layers: number[], mode: Mode): Promise<void> =>
    add(way, layers, prunedModel(parent, layers, mode));

  const whole: Measured = { ...(await measure(parent)), layers: [] };
  log(`parent: ${cell(whole)}`);
  const dropped = await choose('skip');
  for (const kept of counts) await addPruned('dropped', dropped(kept), 'skip');
  // They are chosen by maps fitted to every block at once; those of the chosen ones are then fitted one after the other.
  const linear = await choose('linear');
  for (const layers of counts.map(linear)) {
    const fits = await calibrate(runner, plan, windows, layers, { sequential: true, signal });
    await addPruned('linear', layers, 'linear');
    const pairs = pairsOf(layers).length;
    if (heal) await child(layers, fits, 0);
    if (pairs > 0) await child(layers, fits, pairs);
  }
  if (scratch)
    await withOnGpu(scratch, gpuOptions, async (model) => {
      if (model.spec.vocabSize !== spec.vocabSize || model.spec.blocks.length !== blocks)
        throw new ShishuError(
          'bad-argument',
          `${model.source.name} has ${model.spec.blocks.length} blocks and ${model.spec.vocabSize} tokens, the parent ${blocks} and ${spec.vocabSize}.`,
          { mend: 'Give a child of the same sizes and tokenizer.' },
        );
      const without = model.plan.filter(({ kind }) => kind !== 'attention').map(({ layer }) => layer);
      await add('scratch', without, model);
    });

  const sorted = [...rows.values()].sort((a, b) => b.kept - a.kept);
  return {
    blocks,
    parent: whole,
    rows: sorted,
    tokens: tokenCounts(windows),
    healTokens: heal?.tokens,
    ...conclude(whole, sorted, blocks),
  };

  function childJson(layers: readonly number[], sharedPairs = 0) {
    return childConfig(configJson, spec, {
      layers,
      pairs: pairsOf(layers).slice(0, sharedPairs),
      linear: true,
    });
  }

  /** Measures a child with linear maps as it is written, and healed. */
  async function child(layers: number[], fits: ReadonlyMap<number, Fit>, pairs: number): Promise<void> {
    const staged = stageMemory('the child');
    const addWritten = (way: Way): Promise<void> =>
      withOnGpu(staged.source, gpuOptions, (model) => add(way, layers, model));
    await writeChild(staged, parent, childJson(layers, pairs), fits, 'average');
    if (pairs > 0) await addWritten('shared');
    if (!heal) return;
    await healWritten(staged, parent, windows, { ...heal, log, signal });
    await addWritten(pairs > 0 ? 'sharedHealed' : 'healed');
  }
}

/** What the rows say; they go from the most attention to the least. */
export function conclude(
  parent: Measured,
  rows: readonly WaysRow[],
  blocks: number,
): Pick<WaysCompared, 'within5' | 'linearNotBetter'> {
  const within5: WaysCompared['within5'] = {};
  for (const way of Object.keys(WAYS) as Way[]) {
    const measured = rows.filter(({ ways }) => ways[way]);
    const over = measured.findIndex(({ ways }) => !(ways[way]!.perplexity <= WITHIN * parent.perplexity));
    const within = over < 0 ? measured : measured.slice(0, over);
    if (measured.length > 0) within5[way] = within.at(-1)?.kept ?? blocks;
  }
  const linearNotBetter = rows
    .filter(({ ways: { dropped, linear } }) => dropped && linear && !(linear.perplexity < dropped.perplexity))
    .map(({ kept }) => kept);
  return { within5, linearNotBetter };
}

const cell = (
  { perplexity, quality: { recall, agreement }, answers }: Measured,
  parent?: Measured,
): string => {
  const change = parent && (100 * (perplexity - parent.perplexity)) / parent.perplexity;
  return [
    perplexity.toFixed(3),
    change === undefined ? '' : ` (${change >= 0 ? '+' : ''}${change.toFixed(1)} %)`,
    answers ? `, ${((100 * answers.right) / answers.questions).toFixed(1)} %` : '',
    recall ? `, recall ${recall.accuracy.toFixed(2)}` : '',
    agreement ? `, same ${agreement.same.toFixed(2)}` : '',
  ].join('');
};

/** The table in Markdown, and what it says. */
export function waysTable(compared: WaysCompared): string {
  const { blocks, parent, rows, tokens, healTokens, within5, linearNotBetter } = compared;
  const ways = (Object.keys(WAYS) as Way[]).filter((way) => rows.some((row) => row.ways[way]));
  const { questions } = parent.answers ?? {};
  return [
    `Perplexity on ${tokens.test} test tokens (against the parent's)${questions ? `, exact answers to ${questions} questions` : ''}; ` +
      `maps fitted to ${tokens.calibration} tokens, blocks chosen by ${tokens.choosing}` +
      `${healTokens === undefined ? '' : `, healed with ${healTokens}`}. The parent: ${cell(parent)}.`,
    '',
    ...markdownTable(
      ['attention kept', 'taken from: dropped / linear', ...ways.map((way) => WAYS[way])],
      rows.map(({ kept, ways: measured }) => [
        `${kept} of ${blocks} (${((100 * kept) / blocks).toFixed(0)} %)`,
        [measured.dropped, measured.linear].map((way) => (way ? layersText(way.layers) : '')).join(' / '),
        ...ways.map((way) => {
          const value = measured[way];
          return value ? cell(value, parent) : '';
        }),
      ]),
      2,
    ),
    '',
    ...ways.map((way) => {
      const kept = within5[way]!;
      return kept === blocks
        ? `${WAYS[way]}: nowhere within 5 % of the parent's perplexity.`
        : `${WAYS[way]}: within 5 % of the parent's perplexity down to ${kept} of ${blocks} blocks with attention (${(kept / blocks).toFixed(2)}).`;
    }),
    ...linearNotBetter.map((kept) => {
      const { dropped, linear } = rows.find((row) => row.kept === kept)!.ways;
      return `LINEAR DOES NOT BEAT DROPPING at ${kept} of ${blocks}: perplexity ${linear!.perplexity.toFixed(3)} against ${dropped!.perplexity.toFixed(3)}.`;
    }),
  ].join('\n');
}
