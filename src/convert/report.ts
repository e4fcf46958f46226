import { type Choice, choiceText } from './choose.ts';
import type { Healing } from './heal.ts';
import type { PairCost } from './pairs.ts';
import type { Share } from './share.ts';
import type { Speed } from './speed.ts';
import { percentText, type StageReport, stageTable } from './stages.ts';
import type { TokenCounts } from './windows.ts';

/** The file of a child's folder that is written last: a folder that has it is complete. */
export const REPORT_FILE = 'report.json';

/** What healing did, perplexity on test windows before and after it, and the healings before, the latest first. */
export interface HealingReport extends Healing {
  perplexity: { before: number; after: number };
  earlier?: HealingReport[];
}

/** What a conversion did, as in `REPORT_FILE`. */
export interface ConvertReport {
  /** The parent, as it was named. */
  parent: string;
  /** Attention blocks before the first that lost it. */
  front: number;
  mlpOnly: number;
  /** Attention blocks behind the last that lost it. */
  end: number;
  sharedPairs: number;
  share: Share | undefined;
  /** The pairs, and what each costs alone. */
  pairs: PairCost[];
  /** Layers whose attention was taken. */
  layers: number[];
  /** How the layers were chosen, when none was named: the parent's measure, and the model's behind each choice. */
  choice: Choice | undefined;
  /** Test R^2 of each map, without the residual, on the parent's own input. */
  r2: { layer: number; r2: number; alpha: number; rank: number }[];
  /** What the model is worth at each stage, the parent's first; the last is of the folder as written. */
  steps: StageReport[];
  /** What healing did, and perplexity before and after it, when it was asked for. */
  healing: HealingReport | undefined;
  /** Time of a decoded token on this machine. */
  speed: Speed;
  tokens: TokenCounts;
  parameters: { parent: number; child: number };
  /** Weights as stored. */
  weightBytes: { parent: number; child: number };
  /** f32. */
  kvBytesPerToken: { parent: number; child: number };
}

/** The stack of the child, as `4 attention + 2 MLP-only + 1 attention, 1 shared pair`. */
export function stackText({ front, end, layers, sharedPairs }: ConvertReport): string {
  const pairs = `${sharedPairs} shared ${sharedPairs === 1 ? 'pair' : 'pairs'}`;
  const runs: string[] = [`${front} attention`];
  for (let i = 0, run = 1; i < layers.length; i++, run++) {
    const next = layers[i + 1];
    if (next === layers[i]! + 1) continue;
    runs.push(`${run} MLP-only`, `${next === undefined ? end : next - layers[i]! - 1} attention`);
    run = 0;
  }
  return runs.join(' + ') + (sharedPairs > 0 ? `, ${pairs}` : '');
}

/** What healing did, in one line. */
export const healingText = ({
  tokens,
  steps,
  passes,
  seconds,
  mix,
  stopped,
  perplexity: { before, after },
}: HealingReport): string =>
  `healed: perplexity ${before.toFixed(3)} -> ${after.toFixed(3)}, ${tokens} tokens (${passes.toFixed(1)} passes, ${steps} steps), ` +
  `${seconds.toFixed(0)} s, KL ${mix}${stopped === undefined ? '' : `; ${stopped}`}`;

/** Times of decoding, and what they are worth. */
export function speedText({ position, decode: { parent, child }, adapter, software }: Speed): string {
  const [from, to] = [parent, child].map(({ median, q1, q3 }) => [median, q1, q3].map((ms) => ms.toFixed(2)));
  const apart = child.q3 < parent.q1 || child.q1 > parent.q3;
  return [
    `decode, ms a token at position ${position}: ${from![0]} (${from![1]}-${from![2]}) -> ${to![0]} (${to![1]}-${to![2]})`,
    apart
      ? ` (${percentText(parent.median, child.median)})`
      : ', quartiles overlap: no difference to speak of',
    `, on ${adapter}`,
    software ? ', a CPU that plays GPU: such times say little of a GPU' : '',
  ].join('');
}

/** A report for people. */
export function reportText(report: ConvertReport): string {
  const { choice, steps, r2, healing, parameters, weightBytes, kvBytesPerToken } = report;
  const row = (name: string, { parent, child }: { parent: number; child: number }): string =>
    `${name.padEnd(18)} ${parent} -> ${child} (${percentText(parent, child)})`;
  return [
    stackText(report),
    ...(choice ? [choiceText(r2.length > 0 ? 'linear' : 'dropped', choice)] : []),
    ...report.pairs.map(
      ({ layers, nats }) => `blocks ${layers.join(' and ')} share an MLP: ${nats.toFixed(3)} nats alone`,
    ),
    ...r2.map(
      ({ layer, r2, alpha, rank }) =>
        `map of block ${layer}: R² ${r2.toFixed(3)}, alpha ${alpha}, rank ${rank}`,
    ),
    stageTable(steps),
    ...(healing ? [healingText(healing)] : []),
    row('parameters', parameters),
    row('weight bytes', weightBytes),
    row('KV bytes a token', kvBytesPerToken),
    speedText(report.speed),
  ].join('\n');
}
