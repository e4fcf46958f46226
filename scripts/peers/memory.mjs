// How much memory a browser takes, with its processes for pages and for the GPU: the proportional set size of every process
// under this one. Linux alone tells it.
import { readdirSync, readFileSync } from 'node:fs';

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process has ended, or this is no Linux.
    return '';
  }
}

/** Processes that this one started, and those that they did. */
function descendants() {
  /** @type {Map<number, number[]>} */
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // The name of the program, in brackets, may hold anything.
    const parent = Number(/\) \S (\d+) /.exec(read(`/proc/${name}/stat`))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [];
  const left = [process.pid];
  for (let pid = left.pop(); pid !== undefined; pid = left.pop()) {
    const own = children.get(pid) ?? [];
    found.push(...own);
    left.push(...own);
  }
  return found;
}

/** Bytes now; undefined where it cannot be told. */
function taken() {
  if (process.platform !== 'linux') return undefined;
  let kib = 0;
  for (const pid of descendants())
    kib += Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  return kib > 0 ? kib * 1024 : undefined;
}

/** Watches the memory from now on; `stop` gives the most over the beginning. */
export function watchMemory() {
  const idle = taken();
  let peak = idle;
  const timer = setInterval(() => {
    const here = taken();
    if (here !== undefined && peak !== undefined) peak = Math.max(peak, here);
  }, 250);
  return {
    stop() {
      clearInterval(timer);
      return idle === undefined || peak === undefined ? undefined : peak - idle;
    },
  };
}
