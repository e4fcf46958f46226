// Reads machine code as Mesa's drivers print it: what the loop that does most of the arithmetic issues, and how many loads are
// under way at a time.
import type { Maker } from './gpus.ts';

interface Op {
  /** Begins here. */
  label?: string | undefined;
  /** Jumps there. */
  to?: string | undefined;
  /** A load of a buffer, by the name that a wait calls it by, where it has one. */
  load?: string | true | undefined;
  /** Loads that may be under way behind this wait, or the name of the one that is waited for. */
  wait?: number | string | undefined;
  /** Instructions of vector arithmetic. */
  vector?: number;
  multiplyAdds?: number;
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

const INTEL_VECTOR =
  /^(\([^)]*\) )?(?!send|sync|while|if|endif|else|break|nop|cont|halt)[a-z]\w*(\.\w+)*\(\d+\)/;
// Categories 1 to 4: moves, and arithmetic of two, three and one inputs.
const ADRENO_VECTOR =
  /^(mov|cov|add|sub|mul|mad|sad|min|max|cmps|sel|absneg|sign|floor|ceil|trunc|rndne|and|or|xor|not|sh[lr]|ashr|bfrev|[cp]?bits|getbit|dp[24]|rsq|rcp|exp2|log2|sin|cos|sqrt)/;

const readers: Record<Maker, (line: string) => Op> = {
  amd(line) {
    return {
      label: /^(BB\d+):/.exec(line)?.[1],
      to: /^s_c?branch\w* (BB\d+)/.exec(line)?.[1],
      load: /^(buffer|global|flat)_load/.test(line) || undefined,
      wait: amdWait(line),
      vector: Number(line.startsWith('v_')),
      multiplyAdds: amdMultiplyAdds(line),
    };
  },
  intel(line) {
    const token = /\$(\d+)(?![.\d])/.exec(line)?.[1];
    return {
      label: /^(LABEL\d+):/.exec(line)?.[1],
      to: /^(?:\([^)]*\) )?while\(.*JIP:\s*(LABEL\d+)/.exec(line)?.[1],
      // The line of a message follows that of its send.
      load: /(untyped surface read|ugm MsgDesc: \( load)/.test(line) ? (token ?? true) : undefined,
      wait: /\$(\d+)\.dst/.exec(line)?.[1],
      vector: Number(INTEL_VECTOR.test(line)),
      multiplyAdds: Number(/^(\([^)]*\) )?ma[dc](\.\w+)*\(\d+\) +\w+<\d>H?F /.test(line)),
    };
  },
  adreno(line) {
    const op = line.replace(/^(\([a-z0-9]+\))*\s*/, '');
    const times = 1 + Number(/^\S*\(rpt(\d)\)/.exec(line)?.[1] ?? 0);
    return {
      label: /^(l\d+):/.exec(line)?.[1],
      to: /^(?:br|jump|bany|ball)\S*.*#(l\d+)/.exec(op)?.[1],
      load: /^(ldib|ldg|isam)/.test(op) || undefined,
      wait: /^(\([a-z0-9]+\))*\(sy\)/.test(line) ? 0 : undefined,
      vector: ADRENO_VECTOR.test(op) ? times : 0,
      multiplyAdds: /^mad\.f/.test(op) ? times : 0,
    };
  },
};

function amdWait(line: string): number | undefined {
  const [, count] =
    /^s_waitcnt.*vmcnt\((\d+)\)/.exec(line) ?? /^s_wait_loadcnt\S* (0x[0-9a-f]+|\d+)/.exec(line) ?? [];
  return count === undefined ? undefined : Number(count);
}

/** Most loads under way at a time. */
function inFlight(ops: readonly Op[]): number {
  let flying: (string | true)[] = [];
  let most = 0;
  for (const { load, wait } of ops) {
    if (typeof wait === 'number') flying = flying.slice(Math.max(0, flying.length - wait));
    else if (wait !== undefined) flying = flying.filter((name) => name !== wait);
    if (load === undefined) continue;
    flying.push(load);
    most = Math.max(most, flying.length);
  }
  return most;
}

export interface Reading {
  /** Most loads of buffers under way at a time, in the loop that multiplies most, or anywhere where that has none. */
  flight: number;
  /** Vector instructions for each multiply-add in that loop. */
  perMultiplyAdd?: number;
}

export function readAssembly(maker: Maker, text: string): Reading {
  const ops = text.split('\n').map((line) => readers[maker](line.trim()));
  const at = new Map(ops.flatMap(({ label }, i) => (label === undefined ? [] : [[label, i] as const])));
  const loops = ops.flatMap(({ to }, end) => {
    const begin = to === undefined ? undefined : at.get(to);
    return begin !== undefined && begin < end ? [{ begin, end }] : [];
  });
  const sum = (list: readonly Op[], of: 'vector' | 'multiplyAdds'): number =>
    list.reduce((n, { [of]: count = 0 }) => n + count, 0);
  const innermost = loops
    .filter((a) => !loops.some((b) => a !== b && a.begin <= b.begin && b.end <= a.end))
    .map(({ begin, end }) => ops.slice(begin, end + 1));
  let hot: Op[] = [];
  for (const loop of innermost) if (sum(loop, 'multiplyAdds') > sum(hot, 'multiplyAdds')) hot = loop;
  const multiplyAdds = sum(hot, 'multiplyAdds');
  if (multiplyAdds === 0) return { flight: inFlight(ops) };
  return { flight: inFlight(hot) || inFlight(ops), perMultiplyAdd: sum(hot, 'vector') / multiplyAdds };
}
