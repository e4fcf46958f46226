import { type Dispatch, encode, Recorder, type StepShape, writeStep } from '../gpu/recorder.ts';
import { argmax } from '../kernels/sample.ts';
import { stride } from '../kernels/tensor.ts';
import type { Width } from '../kernels/tuning.ts';
import { ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import { ropeTable } from '../model/rope.ts';
import { type AttentionMixer, attentionOf, type Block, type Plan } from '../model/spec.ts';
import { needsFew, type Runner } from './runner.ts';
import { type Floats, type Rows, Snapshots, takeEnds, takeRows, type Work } from './snapshots.ts';

/** A kernel that computed wrongly: one of its numbers, and what it should be. */
export interface WrongKernel {
  kernel: string;
  found: number;
  expected: number;
}

/** Rows of the prompt, as many as a thread takes at most; behind them some of a batch, and one that is decoded alone. */
const PROMPT = 8;
const FEW = 3;
const NAMES: Record<Width, string> = { many: 'prompt', few: 'few rows', one: 'decode' };
/**
 * Largest error of a sum, as a share of the root of its summed squares. Rounding stays a thousand times below it; a sum that
 * lacks one term in sixty is far above.
 */
const TOLERANCE = 0.01;
/** Largest error of attention, as a share of the largest value: scores are exponents, and f16 keys round. */
const ATTENTION_TOLERANCE = { f32: 0.02, f16: 0.1 };

/** `x / rms(x) * gain`. */
function normed(x: Floats, eps: number, gain?: Floats): Floats {
  let squares = 0;
  for (const value of x) squares += value * value;
  const scale = 1 / Math.sqrt(squares / x.length + eps);
  return x.map((value, i) => value * scale * (gain ? gain[i]! : 1));
}

/** Row r of a weight times x, and its bias; `noise` is the root of the summed squares. */
function dot({ values, bias }: Rows, r: number, x: Floats): { sum: number; noise: number } {
  const row = values[r]!;
  let sum = bias ? bias[r]! : 0;
  let squares = sum * sum;
  for (let i = 0; i < row.length; i++) {
    const term = row[i]! * x[i]!;
    sum += term;
    squares += term * term;
  }
  return { sum, noise: Math.sqrt(squares) };
}

const silu = (a: number): number => a / (1 + Math.exp(-a));

/** What the GPU had before and after each stage of a block. */
interface BlockShots {
  /** `(rows, hidden)` each: before the block, before its MLP, behind it. */
  before: () => Floats[];
  middle: () => Floats[];
  after: () => Floats[];
  /** `(rows, heads * headDim)` and `(rows, MLP width)` */
  attended: () => Floats[];
  hidden: () => Floats[];
  /** `(rows, rank)`: inside a linear map of two factors. */
  reduced: (() => Floats[]) | undefined;
}

/**
 * Runs a few tokens through one block of each kind, the head and the greedy choice, with the kernels that prompts and replies
 * of this model use, and computes samples of every result from the same weights on the CPU. Takes no more work for a larger
 * model than some rows of its matrices. The kernels for few rows are tested where they are compiled at loading.
 * @returns kernels that computed wrongly, by the order of the forward
 */
export async function selfTest({ parts, ledger }: Runner, plan: Plan): Promise<WrongKernel[]> {
  const { gpu, spec, weights, scratch, kv, tuning } = parts;
  const { hiddenSize: d, vocabSize, rmsNormEps: eps } = spec;
  const mixers = attentionOf(spec);
  const held: GPUBuffer[] = [];
  const storage = (label: string, bytes: number): GPUBuffer => {
    const buffer = ledger.storage(label, bytes, 'scratch');
    held.push(buffer);
    return buffer;
  };
  const snapshots = new Snapshots();
  const checks: (() => void)[] = [];
  const wrong: WrongKernel[] = [];
  const expect = (kernel: string, found: number, expected: number, slack: number): void => {
    // Weights of no number are not the GPU's fault.
    if (!Number.isFinite(expected) || Math.abs(found - expected) <= slack + 1e-5 * Math.abs(expected)) return;
    if (wrong.every((other) => other.kernel !== kernel)) wrong.push({ kernel, found, expected });
  };
  const expectRows = (
    kernel: string,
    found: Floats[],
    base: Floats[],
    x: Floats[],
    ends: (() => Rows)[],
  ): void => {
    for (const rows of ends.map((end) => end()))
      for (const [i, row] of x.entries())
        for (let r = 0; r < rows.values.length; r++) {
          const { sum, noise } = dot(rows, r, row);
          const from = base[i]?.[rows.first + r] ?? 0;
          expect(kernel, found[i]![rows.first + r]!, from + sum, TOLERANCE * noise + 1e-5 * Math.abs(from));
        }
  };

  const widthOf = (layer: number): number => weights.mlp.get(layer)!.down.cols;
  const attendedSize = (layer: number): number => weights.attention.get(layer)?.out.cols ?? 0;
  const dtypesOf = ({ layer, mlp }: Block): string => {
    const { qkv, out } = weights.attention.get(layer) ?? {};
    const { down, up } = weights.linear.get(layer) ?? {};
    const own = weights.mlp.get(mlp)!;
    return [qkv, out, down, up, own.gateUp, own.down].map((weight) => weight?.dtype).join();
  };
  const kinds = new Map(
    plan
      .map((block) => {
        const { heads, kvHeads, headDim } = mixers.get(block.layer) ?? {};
        const shape = [block.kind, widthOf(block.mlp), heads, kvHeads, headDim, dtypesOf(block)];
        return [shape.join(' '), block] as const;
      })
      .reverse(),
  );
  const sample = [...kinds.values()].sort((a, b) => a.layer - b.layer);
  // A context that is too short for all of them has a shorter prompt.
  const few = needsFew({ gpu, kv }) ? Math.max(0, Math.min(FEW, scratch.logitRows, kv.context - 2)) : 0;
  const prompt = Math.min(PROMPT, scratch.rows, kv.context - 1 - few);
  const tokens = Array.from({ length: prompt + few + 1 }, (_, i) => (7919 * (i + 1)) % vocabSize);

  /** q, k or v of one head, of each row. */
  const headRows = (
    { headDim, qkNorm, rope }: AttentionMixer,
    x: Floats[],
    head: Rows,
    gain: Floats | undefined,
    rotate: boolean,
  ): Floats[] => {
    const table = ropeTable({ headDim, rope }, tokens.length);
    return x.map((row, position) => {
      const n = normed(row, eps, head.gain);
      let out = Float32Array.from({ length: headDim }, (_, r) => dot(head, r, n).sum);
      if (!rotate) return out;
      // A norm without weights may stand on either side of the rotation.
      if (qkNorm) out = normed(out, eps, gain);
      const half = headDim / 2;
      return out.map((value, i) => {
        const at = 2 * (position * half + (i % half));
        return i < half
          ? value * table[at]! - out[i + half]! * table[at + 1]!
          : value * table[at]! + out[i - half]! * table[at + 1]!;
      });
    });
  };

  /** `before` of the rows of this run and of those whose K and V are cached. */
  const checkAttention = (
    work: Work[],
    label: string,
    layer: number,
    shots: BlockShots,
    past: () => Floats[],
  ): void => {
    const { qkv, out, qkGains } = weights.attention.get(layer)!;
    const mixer = mixers.get(layer)!;
    const { heads, kvHeads, headDim } = mixer;
    const [queryHead, keyHead] = [heads - 1, kvHeads - 1];
    const head = (index: number) => takeRows(snapshots, work, qkv, index * headDim, headDim);
    const read = [head(queryHead), head(heads + keyHead), head(heads + kvHeads + keyHead)] as const;
    const gains = qkGains && snapshots.floats(work, qkGains, 0, 2 * headDim);
    const ends = takeEnds(snapshots, work, out);
    checks.push(() => {
      const cached = past();
      const x = [...cached, ...shots.before()];
      const [wq, wk, wv] = read.map((rows) => rows()) as [Rows, Rows, Rows];
      const q = headRows(mixer, x, wq, gains?.().subarray(0, headDim), true);
      const k = headRows(mixer, x, wk, gains?.().subarray(headDim), true);
      const v = headRows(mixer, x, wv, undefined, false);
      const largest = Math.max(...v.flatMap((row) => [...row].map(Math.abs)));
      for (const [i, found] of shots.attended().entries()) {
        const position = cached.length + i;
        const scores = k
          .slice(0, position + 1)
          .map(
            (key) => key.reduce((sum, value, c) => sum + value * q[position]![c]!, 0) / Math.sqrt(headDim),
          );
        const top = Math.max(...scores);
        const shares = scores.map((score) => Math.exp(score - top));
        const total = shares.reduce((a, b) => a + b, 0);
        for (let c = 0; c < headDim; c++) {
          const mixed = shares.reduce((sum, share, p) => sum + (share / total) * v[p]![c]!, 0);
          expect(
            `${label} qkv and attention`,
            found[queryHead * headDim + c]!,
            mixed,
            ATTENTION_TOLERANCE[kv.dtype] * largest,
          );
        }
      }
      expectRows(`${label} out`, shots.middle(), shots.before(), shots.attended(), ends);
    });
  };

  const checkLinear = (work: Work[], label: string, layer: number, shots: BlockShots): void => {
    const { down, up } = weights.linear.get(layer)!;
    const ends = takeEnds(snapshots, work, up);
    const downEnds = down && takeEnds(snapshots, work, down);
    checks.push(() => {
      const x = shots.before();
      const n = x.map((row) => normed(row, eps));
      const reduced = shots.reduced?.();
      if (downEnds) expectRows(`${label} linear down`, reduced!, [], n, downEnds);
      expectRows(`${label} linear`, shots.middle(), x, reduced ?? n, ends);
    });
  };

  const checkMlp = (work: Work[], label: string, mlp: number, shots: BlockShots): void => {
    const { gateUp, down } = weights.mlp.get(mlp)!;
    const gates = takeEnds(snapshots, work, gateUp, 0);
    const ups = takeEnds(snapshots, work, gateUp, 1);
    const ends = takeEnds(snapshots, work, down);
    checks.push(() => {
      const found = shots.hidden();
      for (const [e, end] of gates.entries()) {
        const [gate, up] = [end(), ups[e]!()];
        for (const [i, row] of shots.middle().entries()) {
          const n = normed(row, eps, gate.gain);
          for (let r = 0; r < gate.values.length; r++) {
            const [g, u] = [dot(gate, r, n), dot(up, r, n)];
            const slack =
              1.1 * g.noise * (Math.abs(u.sum) + TOLERANCE * u.noise) + u.noise * Math.abs(silu(g.sum));
            expect(
              `${label} gate and up`,
              found[i]![gate.first + r]!,
              silu(g.sum) * u.sum,
              TOLERANCE * slack,
            );
          }
        }
      }
      expectRows(`${label} down`, shots.after(), shots.middle(), found, ends);
    });
  };

  /** Rows of activations `(rows, cols)` at this point of the work. */
  const shoot = (work: Work[], buffer: GPUBuffer, rows: number, cols: number): (() => Floats[]) => {
    const read = snapshots.floats(work, buffer, 0, rows * stride(cols));
    let split: Floats[] | undefined;
    return () =>
      (split ??= Array.from({ length: rows }, (_, r) =>
        read().slice(r * stride(cols), r * stride(cols) + cols),
      ));
  };

  /** `before` of each sampled block in the runs so far: what later rows attend to. */
  const pasts: (() => Floats[])[][] = sample.map(() => []);
  const run = async (width: Width, rows: GPUBuffer, from: number, step: StepShape): Promise<Work[]> => {
    const work: Work[] = [];
    const name = NAMES[width];
    const dispatches = await recordBlocks(parts, sample, rows, width);
    const launch = (list: readonly Dispatch[]): void => void work.push({ list, step });
    launch(dispatches.filter(({ block }) => block === undefined));
    const lookedUp = tokens.slice(from, from + step.rows);
    const entries = lookedUp.map((token) => takeRows(snapshots, work, weights.embed, token, 1));
    let before = shoot(work, scratch.x.buffer, step.rows, d);
    const embedded = before;
    checks.push(() => {
      for (const [i, entry] of entries.entries())
        entry().values[0]!.forEach((value, c) => {
          expect(`${name}: embedding`, embedded()[i]![c]!, value, 0);
        });
    });
    for (const [b, { kind, layer, mlp }] of sample.entries()) {
      const own = dispatches.filter(({ block }) => block === layer);
      const cut = own.findIndex(({ label }) => label.startsWith('gate and up'));
      launch(own.slice(0, cut));
      const attended = shoot(work, scratch.attended, step.rows, attendedSize(layer));
      const down = kind === 'linear' ? weights.linear.get(layer)!.down : undefined;
      const reduced = down && shoot(work, scratch.hidden, step.rows, down.rows);
      const middle = shoot(work, scratch.x.buffer, step.rows, d);
      launch(own.slice(cut));
      const hidden = shoot(work, scratch.hidden, step.rows, widthOf(mlp));
      const after = shoot(work, scratch.x.buffer, step.rows, d);
      const shots = { before, middle, after, attended, hidden, reduced };
      const label = `${name}, block ${layer}:`;
      const past = [...pasts[b]!];
      if (kind === 'attention')
        checkAttention(work, label, layer, shots, () => past.flatMap((rows) => rows()));
      if (kind === 'linear') checkLinear(work, label, layer, shots);
      checkMlp(work, label, mlp, shots);
      pasts[b]!.push(before);
      before = after;
    }
    if (width !== 'many') {
      const recorder = new Recorder(gpu);
      const sampled = storage('self-test sampled', 4 * step.rows);
      argmax(tuning, recorder, { logits: scratch.logits, next: rows, sampled, step: scratch.step });
      launch(await recordHead(parts, width));
      launch(await recorder.finish());
      const logits = shoot(work, scratch.logits.buffer, step.rows, vocabSize);
      const chosen = snapshots.add(work, sampled, 0, 4 * step.rows);
      const ends = takeEnds(snapshots, work, weights.head);
      const last = before;
      checks.push(() => {
        const gain = ends[0]!().gain;
        expectRows(
          `${name}: logits`,
          logits(),
          [],
          last().map((row) => normed(row, eps, gain)),
          ends,
        );
        for (const [i, row] of logits().entries()) {
          if (!row.every(Number.isFinite)) continue;
          const best = row.reduce((most, value, at) => (value > row[most]! ? at : most), 0);
          expect(`${name}: argmax`, new Uint32Array(chosen())[i]!, best, 0);
        }
      });
    }
    return work;
  };

  const { device } = gpu;
  try {
    const works: { work: Work[]; rows: GPUBuffer; words: number[]; step: StepShape }[] = [];
    const add = async (width: Width, from: number, count: number): Promise<void> => {
      if (count <= 0) return;
      const rows = storage('self-test rows', ROW_BYTES * count);
      const context = from + count;
      const step = { rows: count, first: 0, count: width === 'many' ? 0 : count, next: 0, context };
      const words = tokens.slice(from, context).flatMap((token, i) => [token, 0, from + i, 0]);
      works.push({ work: await run(width, rows, from, step), rows, words, step });
    };
    await add('many', 0, prompt);
    await add('few', prompt, few);
    await add('one', prompt + few, 1);
    const staging = ledger.buffer(
      'self-test',
      snapshots.bytes,
      'scratch',
      GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    );
    held.push(staging);
    for (const { work, rows, words, step } of works) {
      device.queue.writeBuffer(rows, 0, new Uint32Array(words));
      writeStep(gpu, scratch.step, step);
      const encoder = device.createCommandEncoder();
      for (const one of work)
        if ('list' in one) {
          const pass = encoder.beginComputePass();
          encode(pass, one.list, one.step);
          pass.end();
        } else encoder.copyBufferToBuffer(one.from, one.at, staging, one.to, 4 * Math.ceil(one.size / 4));
      device.queue.submit([encoder.finish()]);
    }
    await staging.mapAsync(GPUMapMode.READ);
    snapshots.data = staging.getMappedRange().slice(0);
    for (const check of checks) check();
    return wrong;
  } finally {
    for (const buffer of held) ledger.release(buffer);
  }
}
