// Choices other than of the likeliest token as the model says it. Fetched when first used.
import type { Ledger } from '../gpu/buffer.ts';
import type { Recorder, StepShape } from '../gpu/recorder.ts';
import { argmax, type Choice, MAX_TOP, maskWords } from '../kernels/sample.ts';
import { adjust, type Logprobs, readTop, sample, topLogprobs } from '../kernels/sampling.ts';
import { stride } from '../kernels/tensor.ts';
import type { ForwardParts } from '../model/forward.ts';

/** Which kernels choose a token. */
export interface ChoiceKind {
  greedy: boolean;
  adjusted: boolean;
  bias: boolean;
  mask: boolean;
  /** Log-probabilities of the chosen token and of this many of the likeliest; undefined for none. */
  top: number | undefined;
}

/** Buffers of drawn choices, each made when a choice first asks for it and used by all: one choice at a time is under way. */
export interface ChoiceBuffers {
  /** `(sequences, vocab)` */
  counts?: GPUBuffer;
  /** `(sequences, vocab)` */
  bias?: GPUBuffer;
  /** `(sequences, maskWords(vocab))` */
  mask?: GPUBuffer;
  /** `(sequences, stride(vocab))` */
  adjusted?: GPUBuffer;
  /** `(sequences, MAX_TOP + 1)` pairs. */
  top?: GPUBuffer;
}

/** Where the log-probabilities of a choice are, and what reads them from a copy. */
export interface TopLogprobs {
  buffer: GPUBuffer;
  bytes: number;
  read(all: ArrayBuffer, step: StepShape): Logprobs;
}

/** Records a choice of any kind; what `buffers` lacks for it is made. */
export function recordChoice(
  recorder: Recorder,
  kind: ChoiceKind,
  call: Choice & { samplers: GPUBuffer },
  { parts, ledger, buffers }: { parts: ForwardParts; ledger: Ledger; buffers: ChoiceBuffers },
): TopLogprobs | undefined {
  const { tuning, kv, spec } = parts;
  const { vocabSize } = spec;
  const { sequences } = kv;
  const hold = (name: keyof ChoiceBuffers, bytes: number): GPUBuffer => {
    buffers[name] ??= ledger.storage(name, bytes * sequences, 'scratch');
    return buffers[name];
  };
  let { logits } = call;
  if (kind.adjusted) {
    const adjusted = { buffer: hold('adjusted', 4 * stride(vocabSize)), cols: vocabSize };
    adjust(tuning, recorder, {
      ...call,
      adjusted,
      counts: hold('counts', 4 * vocabSize),
      bias: kind.bias ? hold('bias', 4 * vocabSize) : undefined,
      mask: kind.mask ? hold('mask', 4 * maskWords(vocabSize)) : undefined,
    });
    logits = adjusted;
  }
  if (kind.greedy) argmax(tuning, recorder, { ...call, logits });
  else sample(tuning, recorder, { ...call, logits });
  if (kind.top === undefined) return undefined;
  const each = kind.top + 1;
  const out = hold('top', 8 * (MAX_TOP + 1));
  const { sampled, step } = call;
  topLogprobs(tuning, recorder, { logits: call.logits, top: kind.top, sampled, out, step });
  return {
    buffer: out,
    bytes: 8 * sequences * each,
    read: (all, { count, next }) => readTop(all, 4 * sequences, { each, count, next }),
  };
}
