import type { Slice } from '../gpu/buffer.ts';
import type { ShaderSpec, TwinLaunch } from '../gpu/kernel.ts';
import { type Dispatch, encode, type StepShape } from '../gpu/recorder.ts';
import { ends, mismatches, placesOf, twinLaunch } from '../kernels/twin.ts';

/** A kernel that computed wrongly: one of its numbers, and what it should be. */
export interface WrongKernel {
  kernel: string;
  shader: ShaderSpec;
  found: number;
  expected: number;
}

/**
 * Largest error of a result, as a share of the root of its summed squares. Rounding stays a thousand times below it; a sum
 * that lacks one term in sixty is far above.
 */
const TOLERANCE = 0.01;

/** Bytes `from .. to` of a binding, and where they are copied to. */
interface Range {
  from: number;
  to: number;
  at: number;
}

/** Bytes of a launch's bindings at one time. */
class Snapshot {
  readonly #ranges = new Map<string, Range[]>();

  /** Notes bytes that are wanted. */
  note(binding: string, at: number, bytes: number): void {
    const ranges = this.#ranges.get(binding) ?? [];
    this.#ranges.set(binding, ranges);
    // Copies are of whole words.
    const range = { from: at & ~3, to: (at + bytes + 3) & ~3, at: 0 };
    const last = ranges.at(-1);
    if (last && range.from >= last.from && range.from <= last.to) last.to = Math.max(last.to, range.to);
    else ranges.push(range);
  }

  /** Gives what is noted places from `at` up; returns where they end. */
  place(at: number): number {
    let end = at;
    for (const [binding, ranges] of this.#ranges) {
      const merged: Range[] = [];
      for (const range of ranges.sort((a, b) => a.from - b.from)) {
        const last = merged.at(-1);
        if (last && range.from <= last.to) last.to = Math.max(last.to, range.to);
        else merged.push(range);
      }
      for (const range of merged) {
        range.at = end;
        end += range.to - range.from;
      }
      this.#ranges.set(binding, merged);
    }
    return end;
  }

  copy(encoder: GPUCommandEncoder, { bind }: Dispatch, staging: GPUBuffer): void {
    for (const [binding, ranges] of this.#ranges) {
      const { buffer, offset = 0 } = bind[binding]!;
      for (const { from, to, at } of ranges)
        encoder.copyBufferToBuffer(buffer, offset + from, staging, at, to - from);
    }
  }

  read(data: ArrayBuffer, binding: string, at: number, bytes: number): ArrayBuffer {
    const range = this.#ranges.get(binding)!.findLast(({ from }) => from <= at)!;
    const start = range.at + at - range.from;
    return data.slice(start, start + bytes);
  }
}

/** Contents of buffers that decide where kernels read and write. */
type Known = ReadonlyMap<GPUBuffer, ArrayBuffer>;

function knownBytes(known: Known, { buffer, offset = 0 }: Slice, at: number, count: number) {
  return known.get(buffer)?.slice(offset + at, offset + at + count);
}

interface Check {
  name: string;
  known: Known;
  dispatch: Dispatch;
  step: StepShape;
  before: Snapshot;
  after: Snapshot;
}

/** Launches of which some results are compared with their CPU twins'. */
export class SpotChecks {
  readonly #checks: Check[] = [];
  /** Bytes of the staging buffer. */
  bytes = 0;

  /** Adds the launches of a step. */
  add(
    dispatches: readonly Dispatch[],
    step: StepShape,
    known: Known,
    nameOf: (dispatch: Dispatch) => string,
  ): void {
    for (const dispatch of dispatches) {
      // Variants for other numbers of rows too.
      if (!dispatch.anyGrid(step)) continue;
      const { shader, bind, items } = dispatch;
      const [before, after] = [new Snapshot(), new Snapshot()];
      // With zeros for what is not known, the twin tells what it reads and what it computes.
      const read: TwinLaunch['bytes'] = (binding, at, count) => {
        const bytes = knownBytes(known, bind[binding]!, at, count);
        if (!bytes) before.note(binding, at, count);
        return bytes ?? new ArrayBuffer(count);
      };
      for (const result of shader.kernel.cpu(twinLaunch(shader, { step, items, bytes: read, pick: ends })))
        for (const { binding, at, size } of placesOf(shader, result)) after.note(binding, at, size);
      this.bytes = after.place(before.place(this.bytes));
      this.#checks.push({ name: nameOf(dispatch), known, dispatch, step, before, after });
    }
  }

  /** Encodes the launches of a step, with copies of what is compared. */
  encode(encoder: GPUCommandEncoder, step: StepShape, staging: GPUBuffer): void {
    for (const check of this.#checks.filter((one) => one.step === step)) {
      check.before.copy(encoder, check.dispatch, staging);
      const pass = encoder.beginComputePass();
      encode(pass, [{ ...check.dispatch, grid: check.dispatch.anyGrid }], step);
      pass.end();
      check.after.copy(encoder, check.dispatch, staging);
    }
  }

  /** The launches that left a wrong number, in their order. */
  wrong(data: ArrayBuffer): WrongKernel[] {
    const wrong: WrongKernel[] = [];
    for (const { name, known, dispatch, step, before, after } of this.#checks) {
      // Another part of the same weight may have been wrong.
      if (wrong.some(({ kernel }) => kernel === name)) continue;
      const { shader, items, bind } = dispatch;
      const bytes: TwinLaunch['bytes'] = (binding, at, count) =>
        knownBytes(known, bind[binding]!, at, count) ?? before.read(data, binding, at, count);
      const launch = twinLaunch(shader, { step, items, bytes, pick: ends });
      const left = mismatches(
        shader,
        launch,
        ({ binding, at, size }) => after.read(data, binding, at, size),
        TOLERANCE,
      );
      for (const { found, value } of left) {
        wrong.push({ kernel: name, shader, found, expected: value });
        break;
      }
    }
    return wrong;
  }
}
