// GPUs whose figures are public, and which of them an adapter is.

/** Public figures of a GPU. */
export interface GpuFigures {
  name: string;
  kind: 'laptop' | 'desktop' | 'phone';
  /** Of its memory, as its makers say. */
  gigabytesPerSecond: number;
  /** Compute units, and multiply-adds in f32 that each begins in a clock. */
  units: number;
  lanes: number;
  /** Highest usual clock. */
  gigahertz: number;
  /** Whether f16 runs at twice the rate of f32. */
  doubleF16: boolean;
  /** Microseconds from the end of a launch to the work of the next, which reads what it wrote. Assumed: nobody publishes it. */
  launchMicroseconds: number;
  /** Sizes of subgroups, as browsers tell them. */
  subgroupSize: { min: number; max: number };
  /** Words of an adapter's description or device, any of them; and its architecture where that is this GPU alone. */
  words: RegExp;
}

export const GPUS: readonly GpuFigures[] = [
  {
    name: 'Intel Iris Xe, 96 EU',
    kind: 'laptop',
    gigabytesPerSecond: 68.3,
    units: 96,
    lanes: 8,
    gigahertz: 1.35,
    doubleF16: true,
    launchMicroseconds: 5,
    subgroupSize: { min: 8, max: 32 },
    words: /iris\W*(\(r\)\W*)?xe|\btgl\b/,
  },
  {
    name: 'Intel Arc 140V',
    kind: 'laptop',
    gigabytesPerSecond: 136.5,
    units: 64,
    lanes: 16,
    gigahertz: 2.05,
    doubleF16: true,
    launchMicroseconds: 5,
    subgroupSize: { min: 16, max: 32 },
    words: /arc\W*(\(tm\)\W*)?140v|\blnl\b/,
  },
  {
    name: 'AMD Radeon 780M',
    kind: 'laptop',
    gigabytesPerSecond: 102.4,
    units: 12,
    lanes: 64,
    gigahertz: 2.7,
    doubleF16: true,
    launchMicroseconds: 4,
    subgroupSize: { min: 32, max: 64 },
    words: /radeon\W*(\(tm\)\W*)?780m|gfx1103|phoenix/,
  },
  {
    name: 'Apple M2, 10 cores',
    kind: 'laptop',
    gigabytesPerSecond: 100,
    units: 10,
    lanes: 128,
    gigahertz: 1.4,
    doubleF16: false,
    launchMicroseconds: 3,
    subgroupSize: { min: 32, max: 32 },
    words: /apple m2(?! (pro|max|ultra))/,
  },
  {
    name: 'NVIDIA RTX 3060',
    kind: 'desktop',
    gigabytesPerSecond: 360,
    units: 28,
    lanes: 128,
    gigahertz: 1.78,
    doubleF16: false,
    launchMicroseconds: 3,
    subgroupSize: { min: 32, max: 32 },
    words: /rtx 3060(?! (ti|laptop))/,
  },
  {
    name: 'NVIDIA RTX 4090',
    kind: 'desktop',
    gigabytesPerSecond: 1008,
    units: 128,
    lanes: 128,
    gigahertz: 2.52,
    doubleF16: false,
    launchMicroseconds: 3,
    subgroupSize: { min: 32, max: 32 },
    words: /rtx 4090(?! laptop)/,
  },
  {
    name: 'AMD RX 7900 XTX',
    kind: 'desktop',
    gigabytesPerSecond: 960,
    units: 96,
    lanes: 64,
    gigahertz: 2.5,
    doubleF16: true,
    launchMicroseconds: 4,
    subgroupSize: { min: 32, max: 64 },
    words: /7900 xtx/,
  },
  {
    name: 'Intel Arc A770',
    kind: 'desktop',
    gigabytesPerSecond: 560,
    units: 512,
    lanes: 8,
    gigahertz: 2.1,
    doubleF16: true,
    launchMicroseconds: 5,
    subgroupSize: { min: 8, max: 32 },
    words: /arc\W*(\(tm\)\W*)?a770/,
  },
  {
    name: 'Qualcomm Adreno 740',
    kind: 'phone',
    gigabytesPerSecond: 67.2,
    units: 20,
    lanes: 128,
    gigahertz: 0.68,
    doubleF16: true,
    launchMicroseconds: 15,
    subgroupSize: { min: 64, max: 128 },
    words: /adreno\W*(\(tm\)\W*)?740/,
  },
  {
    name: 'Arm Mali-G710 MP7',
    kind: 'phone',
    gigabytesPerSecond: 51.2,
    units: 7,
    lanes: 64,
    gigahertz: 0.85,
    doubleF16: true,
    launchMicroseconds: 20,
    subgroupSize: { min: 16, max: 16 },
    words: /mali-g710/,
  },
];

/** Multiply-adds in f32 a second, in 10^12 operations, two for each. */
export const peakTeraflops = ({ units, lanes, gigahertz }: GpuFigures): number =>
  (2 * units * lanes * gigahertz) / 1000;

/** The GPU of this name in the table. */
export const gpuNamed = (name: string | null): GpuFigures | undefined =>
  GPUS.find((gpu) => gpu.name === name);

/** Which GPU of the table an adapter is, where its words tell. @param words in lower case */
export const gpuOf = (words: string): GpuFigures | undefined => GPUS.find((gpu) => gpu.words.test(words));
