// Factors of a model that its weights take in as they are read, so that no kernel knows of them.
import type { AttentionMixer, Matrix, ModelSpec } from './spec.ts';

/** What a stored value becomes: `times * value + plus`. */
export interface Fold {
  times: number;
  plus: number;
}

/** How a head's dimensions lie so that the rotated ones come in pairs of halves of the whole head; the place of dimension `d`. */
export function rotatedPlace({ headDim, rope }: Pick<AttentionMixer, 'headDim' | 'rope'>, d: number): number {
  if (rope?.interleaved) return (d % 2) * (headDim / 2) + (d >> 1);
  const rotated = rope?.rotated ?? headDim;
  // Two runs of each half: what rotates, and what does not.
  const [turning, still] = [rotated / 2, (headDim - rotated) / 2];
  if (d < rotated) return d < turning ? d : headDim / 2 + (d - turning);
  const at = d - rotated;
  return at < still ? turning + at : headDim / 2 + turning + (at - still);
}

/** What is folded into the gain of the last norm for the logits' sake. A tied head is the embedding with its factor. */
export const headFactor = ({ scales = {}, tied }: Pick<ModelSpec, 'scales' | 'tied'>): number =>
  (scales.logits ?? 1) / (tied ? (scales.embedding ?? 1) : 1);

/** What tensors become as they are read, by name; those that are left out stay as they are. */
export function foldsOf(spec: ModelSpec): ReadonlyMap<string, Fold> {
  const { embedding: scaled = 1, residual = 1 } = spec.scales ?? {};
  const offset = spec.gainOffset ?? 0;
  const folds = new Map<string, Fold>();
  const add = (tensor: string, times: number, plus = 0): void => {
    if (times !== 1 || plus !== 0) folds.set(tensor, { times, plus });
  };
  const matrix = ({ name, bias }: Matrix, times: number): void => {
    add(`${name}.weight`, times);
    if (bias) add(`${name}.bias`, times);
  };
  const gain = (tensor: string | undefined, times = 1): void => {
    if (tensor !== undefined) add(tensor, times, offset * times);
  };
  /** What is added to x: a factor before a norm would be lost. */
  const added = (of: Matrix, normAfter: string | undefined): void => {
    if (normAfter === undefined) matrix(of, residual);
    else gain(normAfter, residual);
  };
  matrix(spec.embedding, scaled);
  for (const { mixer, feedForward } of spec.blocks) {
    if (mixer.kind === 'attention') {
      const { headDim, scoreScale, qkNorm } = mixer;
      // Attention divides scores by the root of the head's size.
      const asked = scoreScale === undefined ? 1 : scoreScale * Math.sqrt(headDim);
      gain(mixer.norm);
      added(mixer.out, mixer.normAfter);
      if (typeof qkNorm === 'object') {
        gain(qkNorm.q, asked);
        gain(qkNorm.k);
      } else matrix(mixer.q, asked);
    }
    if (mixer.kind === 'conv') {
      gain(mixer.norm);
      added(mixer.out, undefined);
    }
    gain(feedForward.norm);
    added(feedForward.down, feedForward.normAfter);
  }
  gain(spec.norm, headFactor(spec));
  return folds;
}

/** Whether the tensors of a checkpoint are the weights as they are but for the order of rows, and blocks compute what those of a ShishuLM do. */
export const isPlain = (spec: ModelSpec): boolean =>
  foldsOf(spec).size === 0 &&
  spec.blocks.every(
    ({ mixer, feedForward: { activation = 'silu', norm, normAfter } }) =>
      activation === 'silu' &&
      norm !== undefined &&
      normAfter === undefined &&
      mixer.kind !== 'conv' &&
      (mixer.kind !== 'attention' ||
        (mixer.rope?.rotated === undefined &&
          mixer.window === undefined &&
          mixer.norm !== undefined &&
          mixer.normAfter === undefined)),
  );
