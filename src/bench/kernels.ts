// Kernels as they were measured, against what the model of speed expects of them.
import { gpuNamed } from './gpus.ts';
import type { BenchResult, ProfilePoint } from './result.ts';
import { expectedOf, reached } from './speed.ts';

/** Sets the GPU that a result is compared with, by its name in gpus.ts; null for none. */
export function compareWith(result: Pick<BenchResult, 'adapter' | 'profile'>, name: string | null): void {
  const gpu = gpuNamed(name);
  result.adapter.gpu = gpu?.name ?? null;
  for (const point of result.profile) point.expected = gpu ? expectedOf(point.work, gpu).total : null;
}

/** Launches of one name, of one model, added up. */
export interface KernelFigures {
  microseconds: number;
  /** Null where the GPU is not known. */
  expected: number | null;
  gigabytesPerSecond: number;
  /** Shares of the GPU's bandwidth, and of its peak in f32; undefined where it is not known. */
  bandwidth?: number;
  arithmetic?: number;
}

/** A kernel of parent and child; null for one that lacks it. */
export interface KernelRow {
  kernel: string;
  pair: [KernelFigures | null, KernelFigures | null];
}

function figuresOf(points: readonly ProfilePoint[], gpu: string | null): KernelFigures | null {
  if (points.length === 0) return null;
  const sum = (of: (point: ProfilePoint) => number): number =>
    points.reduce((total, point) => total + of(point), 0);
  const microseconds = sum((point) => point.microseconds);
  const work = { bytes: sum(({ work }) => work.bytes), multiplyAdds: sum(({ work }) => work.multiplyAdds) };
  const known = points.every(({ expected }) => expected !== null);
  return {
    microseconds,
    expected: known ? sum(({ expected }) => expected!) : null,
    ...reached(work, microseconds, gpuNamed(gpu)),
  };
}

/** Kernels of a phase, those that take longest first. */
export function kernelRows({ profile, adapter }: BenchResult, phase: ProfilePoint['phase']): KernelRow[] {
  const points = profile.filter((point) => point.phase === phase);
  const rows = [...new Set(points.map(({ kernel }) => kernel))].map((kernel): KernelRow => {
    const own = points.filter((point) => point.kernel === kernel);
    const [parent, child] = ([0, 1] as const).map((model) =>
      figuresOf(
        own.filter((point) => point.model === model),
        adapter.gpu,
      ),
    );
    return { kernel, pair: [parent ?? null, child ?? null] };
  });
  const most = ({ pair }: KernelRow): number =>
    Math.max(...pair.map((figures) => figures?.microseconds ?? 0));
  return rows.sort((a, b) => most(b) - most(a));
}

/** The head of a table of kernels, and its rows as people read them: parent / child in each cell. */
export const KERNEL_HEAD = ['kernel', 'measured, us', 'expected, us', 'GB/s', 'of bandwidth', 'of f32 peak'];

export function kernelCells({ kernel, pair }: KernelRow): string[] {
  const cell = (of: (figures: KernelFigures) => number | null | undefined, show: (value: number) => string) =>
    pair
      .map((figures) => {
        const value = figures && of(figures);
        // A clock that is coarse measures nothing of what is short.
        return value === null || value === undefined || !Number.isFinite(value) ? '–' : show(value);
      })
      .join(' / ');
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const whole = (value: number): string => value.toFixed(0);
  return [
    kernel,
    cell(({ microseconds }) => microseconds, whole),
    cell(({ expected }) => expected, whole),
    cell(
      ({ gigabytesPerSecond }) => gigabytesPerSecond,
      (value) => value.toPrecision(3),
    ),
    cell(({ bandwidth }) => bandwidth, percent),
    cell(({ arithmetic }) => arithmetic, percent),
  ];
}

/** Phases that are profiled, in words. */
export const PHASES = [
  ['decode', 'a token'],
  ['prompt', 'a prompt'],
] as const satisfies [ProfilePoint['phase'], string][];

/** What the expected times are of. */
export const comparedWith = ({ adapter }: Pick<BenchResult, 'adapter'>): string =>
  adapter.gpu === null
    ? 'Expected times: none, the GPU is not known.'
    : `Expected times and shares: of public figures of ${adapter.gpu} (docs/speed.md), an estimate.`;
