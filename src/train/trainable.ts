import { ShishuError } from '../errors.ts';
import { isPlain } from '../model/fold.ts';
import { type AttentionMixer, attentionOf, convOf, type ModelSpec } from '../model/spec.ts';

/** Tokens of the longest window: attention's backward goes over all of it. */
export const LONGEST_WINDOW = 512;

/** @throws ShishuError `unsupported` for a config that the engine runs and the trainer doesn't. */
export function checkTrainable(spec: ModelSpec): void {
  const refuse = (what: string): never => {
    throw new ShishuError('unsupported', `The trainer has no ${what}.`, {
      mend: 'It trains models of type llama, qwen2, qwen3 and shishu-llama, and others that compute the same.',
    });
  };
  if (convOf(spec).size > 0) refuse('short convolutions');
  for (const { rope, headDim } of attentionOf(spec).values()) {
    if (rope?.interleaved) refuse('rotary embeddings of neighbouring dimensions');
    if (headDim % 4 !== 0) refuse(`heads of ${headDim} numbers`);
  }
  if (!isPlain(spec)) refuse(besidePlain(spec).join(' and no '));
}

const isScaled = ({ scoreScale, headDim }: AttentionMixer): boolean =>
  scoreScale !== undefined && scoreScale * Math.sqrt(headDim) !== 1;

/** What keeps a spec from being plain, by name. */
function besidePlain({ scales = {}, gainOffset = 0, blocks }: ModelSpec): string[] {
  const attentions = blocks.flatMap(({ mixer }) => (mixer.kind === 'attention' ? [mixer] : []));
  const parts = [...attentions, ...blocks.map(({ feedForward }) => feedForward)];
  const factors = [
    ...Object.entries(scales).flatMap(([name, factor]) => (factor === 1 ? [] : [name])),
    ...(attentions.some(isScaled) ? ['scores'] : []),
  ];
  const activations = blocks.map(({ feedForward: { activation = 'silu' } }) => activation);
  const lacking: [boolean, string][] = [
    [factors.length > 0, `factors beside the weights (of ${factors.join(', ')})`],
    [gainOffset !== 0, `norms whose gains are stored less ${gainOffset}`],
    [attentions.some(({ window }) => window !== undefined), 'sliding windows'],
    [attentions.some(({ rope }) => rope?.rotated !== undefined), 'heads that are rotated in part'],
    [parts.some(({ norm }) => norm === undefined), 'blocks without a norm before'],
    [parts.some(({ normAfter }) => normAfter !== undefined), 'norms after'],
    ...[...new Set(activations)].map((name): [boolean, string] => [name !== 'silu', `activation ${name}`]),
  ];
  return lacking.flatMap(([lacks, what]) => (lacks ? [what] : []));
}
