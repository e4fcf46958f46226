// Reads machine code as Mesa's drivers print it: what the loop that does most of the arithmetic issues, how many loads are
// under way at a time, and what is waited for.
import type { Maker } from './gpus.ts';

interface Op {
  /** Begins here. */
  label?: string | undefined;
  /** Jumps there. */
  to?: string | undefined;
  /** A load of a buffer, by the name that a wait calls it by, where it has one. */
  load?: string | true | undefined;
  /** Bytes that a load brings to a thread. */
  bytes?: number | undefined;
  /** On AMD, the first of the registers that describe its buffer. */
  from?: number | undefined;
  /** On AMD, registers that take descriptors of buffers: the first, and the binding that it is of. */
  describes?: readonly [register: number, binding: number] | undefined;
  /** Loads that may be under way behind this wait, or the name of the one that is waited for. */
  wait?: number | string | undefined;
  /** Instructions of vector arithmetic. */
  vector?: number;
  multiplyAdds?: number;
  /** A read of workgroup memory. */
  sharedRead?: boolean;
  /** All threads of the workgroup meet here. */
  barrier?: boolean;
}

/** Multiply-adds of one AMD instruction, of each lane. */
function amdMultiplyAdds(line: string): number {
  const [, lanes] = /^v_dot(\d)/.exec(line) ?? [];
  if (lanes) return Number(lanes);
  if (/^v_pk_(fma|mad)/.test(line)) return 2;
  // That is how f16 is widened.
  if (/^v_fma_mix.* 1\.0, neg\(0\)/.test(line)) return 0;
  return [...line.matchAll(/\bv_(dual_)?(fma|fmac|mac|fmaak|fmamk|fmaac|mad)(_mix(lo|hi)?)?_(legacy_)?f/g)]
    .length;
}

/** Bytes of a load of AMD's, named by bits or by words. */
function amdBytes(op: string): number {
  const [, bits] = /_[biu](\d+)(_|\b)/.exec(op) ?? [];
  if (bits) return Number(bits) / 8;
  const [, words] = /dwordx(\d)/.exec(op) ?? [];
  return words ? 4 * Number(words) : /byte/.test(op) ? 1 : /short|d16/.test(op) ? 2 : 4;
}

/** Bytes of a descriptor of a buffer: bindings of a group lie one behind the other. */
const DESCRIPTOR = 16;

/** Which binding a load of scalars brings the description of, if that is what it brings. */
function amdDescribes(line: string): Op['describes'] {
  const [, register, offset] =
    /^s_load_(?:b128|dwordx4) s\[(\d+):\d+\], s\[\d+:\d+\], (\w+)/.exec(line) ?? [];
  return register === undefined ? undefined : [Number(register), (Number(offset) || 0) / DESCRIPTOR];
}

const INTEL_VECTOR =
  /^(\([^)]*\) )?(?!send|sync|while|if|endif|else|break|nop|cont|halt)[a-z]\w*(\.\w+)*\(\d+\)/;
/** Workgroup memory, where messages name a surface. */
const INTEL_SHARED = /(slm MsgDesc: \( load|untyped surface read, Surface = 254)/;

/** Bytes of a load of Intel's: numbers by their width, or the channels that a mask leaves. */
function intelBytes(line: string): number {
  const [, bits = 32, numbers] = /\bd(\d+)(?:u32)?, V(\d+)/.exec(line) ?? [];
  if (numbers) return (Number(bits) / 8) * Number(numbers);
  const left = Number(/Mask = (0x[0-9a-f])/.exec(line)?.[1] ?? 14);
  return 4 * [1, 2, 4, 8].filter((channel) => !(left & channel)).length;
}

// Categories 1 to 4: moves, and arithmetic of two, three and one inputs.
const ADRENO_VECTOR =
  /^(mov|cov|add|sub|mul|mad|sad|min|max|cmps|sel|absneg|sign|floor|ceil|trunc|rndne|and|or|xor|not|sh[lr]|ashr|bfrev|[cp]?bits|getbit|dp[24]|rsq|rcp|exp2|log2|sin|cos|sqrt)/;

/** Bytes of a load of Adreno's, of a buffer or by way of a texture; undefined for what is none. */
function adrenoBytes(op: string): number | undefined {
  const [, sampled, channels = ''] = /^isam\S* \([usf](\d+)\)\((\w+)\)/.exec(op) ?? [];
  if (sampled) return (Number(sampled) / 8) * channels.length;
  const [load, bits = 32, numbers = 1] = /^(?:ldib|ldg)\S*?(?:\.[usf](\d+)(?:\.(\d))?|\s)/.exec(op) ?? [];
  return load === undefined ? undefined : (Number(bits) / 8) * Number(numbers);
}

const readers: Record<Maker, (line: string) => Op> = {
  amd(line) {
    const load = /^(buffer|global|flat)_load/.test(line);
    return {
      label: /^(BB\d+):/.exec(line)?.[1],
      to: /^s_c?branch\w* (BB\d+)/.exec(line)?.[1],
      load: load || undefined,
      bytes: load ? amdBytes(/^\w+/.exec(line)![0]) : undefined,
      from: load ? Number(/ s\[(\d+):/.exec(line)?.[1]) : undefined,
      describes: amdDescribes(line),
      wait: amdWait(line),
      vector: Number(line.startsWith('v_')),
      multiplyAdds: amdMultiplyAdds(line),
      sharedRead: /^ds_(load|read)/.test(line),
      barrier: /^s_barrier(_wait)?\b/.test(line),
    };
  },
  intel(line) {
    const token = /\$(\d+)(?![.\d])/.exec(line)?.[1];
    const shared = INTEL_SHARED.test(line);
    const load = !shared && /(untyped surface read|ugm MsgDesc: \( load)/.test(line);
    return {
      label: /^(LABEL\d+):/.exec(line)?.[1],
      to: /^(?:\([^)]*\) )?while\(.*JIP:\s*(LABEL\d+)/.exec(line)?.[1],
      // The line of a message follows that of its send.
      load: load ? (token ?? true) : undefined,
      bytes: load ? intelBytes(line) : undefined,
      wait: /\$(\d+)\.dst/.exec(line)?.[1],
      vector: Number(INTEL_VECTOR.test(line)),
      multiplyAdds: Number(/^(\([^)]*\) )?ma[dc](\.\w+)*\(\d+\) +\w+<\d>H?F /.test(line)),
      sharedRead: shared,
      barrier: /barrier msg/.test(line),
    };
  },
  adreno(line) {
    const op = line.replace(/^(\([a-z0-9]+\))*\s*/, '');
    const times = 1 + Number(/^\S*\(rpt(\d)\)/.exec(line)?.[1] ?? 0);
    const bytes = adrenoBytes(op);
    return {
      label: /^(l\d+):/.exec(line)?.[1],
      to: /^(?:br|jump|bany|ball)\S*.*#(l\d+)/.exec(op)?.[1],
      load: bytes === undefined ? undefined : true,
      bytes,
      wait: /^(\([a-z0-9]+\))*\(sy\)/.test(line) ? 0 : undefined,
      vector: ADRENO_VECTOR.test(op) ? times : 0,
      multiplyAdds: /^mad\.f/.test(op) ? times : 0,
      sharedRead: /^ldlw?\b/.test(op),
      barrier: /^bar\b/.test(op),
    };
  },
};

function amdWait(line: string): number | undefined {
  const [, count] =
    /^s_waitcnt.*vmcnt\((\d+)\)/.exec(line) ?? /^s_wait_loadcnt\S* (0x[0-9a-f]+|\d+)/.exec(line) ?? [];
  return count === undefined ? undefined : Number(count);
}

/** Most loads under way at a time, and the bytes that they bring. */
function inFlight(ops: readonly Op[]): { flight: number; flightBytes: number } {
  let flying: Op[] = [];
  let most: readonly Op[] = [];
  for (const op of ops) {
    const { load, wait } = op;
    if (typeof wait === 'number') flying = flying.slice(Math.max(0, flying.length - wait));
    else if (wait !== undefined) flying = flying.filter(({ load: name }) => name !== wait);
    if (load === undefined) continue;
    flying = [...flying, op];
    if (flying.length > most.length) most = flying;
  }
  return { flight: most.length, flightBytes: sum(most, ({ bytes }) => bytes) };
}

export interface Reading {
  /**
   * Most loads of buffers under way at a time: in the worst of the loops that load and do at least half of the multiply-adds of
   * the one that does most; or anywhere, where there is none.
   */
  flight: number;
  /** Bytes that these bring. */
  flightBytes: number;
  /** Barriers in the code, each counted once, also in a loop. */
  barriers: number;
  /** Vector instructions for each multiply-add in the loop that multiplies most. */
  perMultiplyAdd?: number;
  /** Multiply-adds for each read of workgroup memory in that loop, where it reads any. */
  perSharedRead?: number;
  /** Vector instructions of that loop, and on AMD the bytes that it loads of each binding, by its number. */
  loop?: { vector: number; loaded: Readonly<Record<number, number>> };
  /** Of the bytes that this loop loads, the share that loads of 16 bytes or more bring. */
  wide?: number;
}

const sum = (list: readonly Op[], of: (op: Op) => number | undefined): number =>
  list.reduce((n, op) => n + (of(op) ?? 0), 0);
const multiplyAddsOf = (list: readonly Op[]): number => sum(list, ({ multiplyAdds }) => multiplyAdds);

/** Bytes that some of the code loads of each binding. */
function loadedOf(all: readonly Op[], some: readonly Op[]): Record<number, number> {
  const wanted = new Set(some);
  const bindings = new Map<number, number>();
  const loaded: Record<number, number> = {};
  for (const op of all) {
    if (op.describes) bindings.set(...op.describes);
    const binding = op.from === undefined ? undefined : bindings.get(op.from);
    if (binding !== undefined && wanted.has(op)) loaded[binding] = (loaded[binding] ?? 0) + op.bytes!;
  }
  return loaded;
}

export function readAssembly(maker: Maker, text: string): Reading {
  const ops = text.split('\n').map((line) => readers[maker](line.trim()));
  const at = new Map(ops.flatMap(({ label }, i) => (label === undefined ? [] : [[label, i] as const])));
  const loops = ops.flatMap(({ to }, end) => {
    const begin = to === undefined ? undefined : at.get(to);
    return begin !== undefined && begin < end ? [{ begin, end }] : [];
  });
  const innermost = loops
    .filter((a) => !loops.some((b) => a !== b && a.begin <= b.begin && b.end <= a.end))
    .map(({ begin, end }) => ops.slice(begin, end + 1));
  let hot: Op[] = [];
  for (const loop of innermost) if (multiplyAddsOf(loop) > multiplyAddsOf(hot)) hot = loop;
  const barriers = ops.filter(({ barrier }) => barrier).length;
  const multiplyAdds = multiplyAddsOf(hot);
  if (multiplyAdds === 0) return { ...inFlight(ops), barriers };
  const flights = innermost
    .filter((loop) => multiplyAddsOf(loop) >= multiplyAdds / 2)
    .map(inFlight)
    .filter(({ flight }) => flight > 0)
    .sort((a, b) => a.flight - b.flight);
  const sharedReads = hot.filter(({ sharedRead }) => sharedRead).length;
  const bytes = sum(hot, (op) => op.bytes);
  const wideBytes = sum(hot, (op) => (op.bytes! >= 16 ? op.bytes : 0));
  const vector = sum(hot, (op) => op.vector);
  return {
    ...(flights[0] ?? inFlight(ops)),
    barriers,
    perMultiplyAdd: vector / multiplyAdds,
    loop: { vector, loaded: loadedOf(ops, hot) },
    ...(sharedReads > 0 && { perSharedRead: multiplyAdds / sharedReads }),
    ...(bytes > 0 && { wide: wideBytes / bytes }),
  };
}
