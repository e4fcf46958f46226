// shaders/train/row_loss.wgsl and hidden_loss.wgsl
import { ShishuError } from '../../errors.ts';
import { type Kernel, type Launch, reads, writes } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { COUNT, VOCABULARY } from '../../kernels/tensor.ts';
import { bound, elementOf, NUMBERS, numbersOf, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

const WORKGROUP = 256;

/** Rows of a launch are its items. */
const rowsGrid = ({ items }: Launch, most: number): [number, number, number] => {
  if (items > most)
    throw new ShishuError('bad-argument', `A loss of ${items} rows at once: the GPU takes ${most}.`);
  return [items, 1, 1];
};

/** softmax of values, and the logarithm of each. */
function softmax(values: Float32Array): { p: Float64Array; logs: Float64Array; most: number } {
  const most = values.reduce((so, value) => Math.max(so, value), -Infinity);
  const sum = values.reduce((so, value) => so + Math.exp(value - most), 0);
  const logs = Float64Array.from(values, (value) => value - most - Math.log(sum));
  return { p: logs.map(Math.exp), logs, most };
}

export const ROW_LOSS: Kernel<'WG' | 'VOCAB' | 'MIX'> = {
  name: 'train/row_loss',
  texts: TRAIN_SHADERS,
  choices: [[{ WG: WORKGROUP }], NUMBERS, [{ TEACHER: 'with_teacher' }, { TEACHER: 'without_teacher' }]],
  sizes: { VOCAB: VOCABULARY, MIX: [0, 1, 'f32'] },
  bindings(asked) {
    const logits = ({ constants, items }: Launch<'VOCAB'>): number[] => [items, constants.VOCAB];
    const rows = ({ items }: Launch): number[] => [items];
    return [
      ...(asked.imports.TEACHER === 'with_teacher' ? [reads('teacher', elementOf(asked), logits)] : []),
      reads('targets', 'u32', rows),
      reads('row_weights', 'f32', rows),
      writes('logits', elementOf(asked), logits),
      writes('losses', 'f32', rows),
    ];
  },
  grid: rowsGrid,
  *cpu({ constants: { VOCAB, MIX }, imports, items, floats, words, pick }) {
    for (const row of pick(items)) {
      const weight = floats('row_weights', row, 1)[0]!;
      const at = row * VOCAB;
      if (weight === 0) {
        for (const i of pick(VOCAB, 32)) yield { binding: 'logits', at: at + i, value: 0, scale: 0 };
        yield { binding: 'losses', at: row, value: 0, scale: 0 };
        continue;
      }
      const own = softmax(floats('logits', at, VOCAB));
      const target = words('targets', row, 1)[0]!;
      const teacher = imports.TEACHER === 'with_teacher' ? softmax(floats('teacher', at, VOCAB)) : undefined;
      let loss = -(1 - MIX) * own.logs[target]!;
      let scale = Math.abs(loss) + 1;
      teacher?.p.forEach((p, i) => {
        if (p === 0) return;
        loss += MIX * p * (teacher.logs[i]! - own.logs[i]!);
        scale += p * (Math.abs(teacher.logs[i]!) + Math.abs(own.logs[i]!));
      });
      yield { binding: 'losses', at: row, value: weight * loss, scale: Math.abs(weight) * scale };
      for (const i of pick(VOCAB, 32)) {
        const wanted = (teacher ? MIX * teacher.p[i]! : 0) + (i === target ? 1 - MIX : 0);
        const value = weight * (own.p[i]! - wanted);
        yield { binding: 'logits', at: at + i, value, scale: Math.abs(weight) * (own.p[i]! + wanted) };
      }
    }
  },
};

/**
 * The loss of each row of logits: `weights[r] * (mix * KL(softmax(teacher) || softmax(logits)) + (1 - mix) * cross-entropy)`, nats.
 * The logits become its derivatives. A row whose weight is 0 is not read: its loss and derivatives are 0.
 */
export function rowLoss(
  recorder: Recorder,
  call: {
    /** `(rows, vocab)`, replaced by `d loss / d logits`. */
    logits: Tensor;
    /** `(rows, vocab)`; needed where mix is above 0. */
    teacher?: Tensor | undefined;
    /** u32 `(rows)`. */
    targets: Tensor;
    /** `(rows)` */
    weights: Tensor;
    mix: number;
    rows: number;
    vocab: number;
    /** `(rows)` */
    losses: Tensor;
  },
): void {
  const { logits, teacher, targets, weights, mix, rows, vocab, losses } = call;
  if (mix > 0 && !teacher)
    throw new ShishuError('bad-argument', 'A loss that is mixed with a teacher has no teacher.');
  recorder.add({
    label: 'loss of rows',
    shader: {
      kernel: ROW_LOSS,
      imports: { NUMBERS: numbersOf(vocab), TEACHER: mix > 0 ? 'with_teacher' : 'without_teacher' },
      constants: { WG: WORKGROUP, VOCAB: vocab, MIX: mix },
    },
    bind: {
      teacher: mix > 0 ? bound(teacher!, rows * vocab) : undefined,
      targets: bound(targets, rows),
      row_weights: bound(weights, rows),
      logits: bound(logits, rows * vocab),
      losses: bound(losses, rows),
    },
    items: rows,
  });
}

export const HIDDEN_LOSS: Kernel<'WG' | 'HIDDEN' | 'ADD'> = {
  name: 'train/hidden_loss',
  texts: TRAIN_SHADERS,
  choices: [[{ WG: 64 }], NUMBERS, [{ ADD: false }, { ADD: true }]],
  sizes: { HIDDEN: COUNT },
  bindings(asked) {
    const states = ({ constants, items }: Launch<'HIDDEN'>): number[] => [items, constants.HIDDEN];
    const rows = ({ items }: Launch): number[] => [items];
    return [
      reads('student', elementOf(asked), states),
      reads('teacher', elementOf(asked), states),
      reads('row_weights', 'f32', rows),
      writes('gradient', elementOf(asked), states),
      writes('losses', 'f32', rows),
    ];
  },
  grid: rowsGrid,
  *cpu({ constants: { HIDDEN, ADD }, items, floats, pick }) {
    const before = (binding: string, at: number): number => (ADD ? floats(binding, at, 1)[0]! : 0);
    for (const row of pick(items)) {
      const weight = floats('row_weights', row, 1)[0]!;
      const [s, t] = weight
        ? [floats('student', row * HIDDEN, HIDDEN), floats('teacher', row * HIDDEN, HIDDEN)]
        : [new Float32Array(HIDDEN), new Float32Array(HIDDEN)];
      const apart = s.map((value, i) => value - t[i]!);
      const squares = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);
      const by = weight / Math.max(squares(t), 1e-12);
      const loss = by * squares(apart);
      const was = before('losses', row);
      yield { binding: 'losses', at: row, value: was + loss, scale: Math.abs(was) + Math.abs(loss) };
      for (const i of pick(HIDDEN, 32)) {
        const at = row * HIDDEN + i;
        const old = before('gradient', at);
        const scale = Math.abs(old) + 2 * Math.abs(by) * (Math.abs(s[i]!) + Math.abs(t[i]!));
        yield { binding: 'gradient', at, value: old + 2 * by * apart[i]!, scale };
      }
    }
  },
};

/**
 * The loss of each row of hidden states: `weights[r] * |student - teacher|^2 / |teacher|^2`, and its gradient. A row whose weight is
 * 0 is not read.
 */
export function hiddenLoss(
  recorder: Recorder,
  call: {
    /** `(rows, hidden)` */
    student: Tensor;
    /** `(rows, hidden)` */
    teacher: Tensor;
    /** `(rows)` */
    weights: Tensor;
    rows: number;
    hidden: number;
    /** `(rows, hidden)`: d loss / d student. */
    gradient: Tensor;
    /** `(rows)` */
    losses: Tensor;
    /** Gradient and losses are added to what is there. */
    accumulate?: boolean | undefined;
  },
): void {
  const { student, teacher, weights, rows, hidden, gradient, losses, accumulate = false } = call;
  const count = rows * hidden;
  recorder.add({
    label: 'loss of hidden states',
    shader: {
      kernel: HIDDEN_LOSS,
      imports: { NUMBERS: numbersOf(hidden) },
      constants: { WG: 64, HIDDEN: hidden, ADD: accumulate },
    },
    bind: {
      student: bound(student, count),
      teacher: bound(teacher, count),
      row_weights: bound(weights, rows),
      gradient: bound(gradient, count),
      losses: bound(losses, rows),
    },
    items: rows,
  });
}
