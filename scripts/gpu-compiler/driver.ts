// Compiles texts of shaders with the driver of a GPU that is not there.
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Adapter } from '../../test/support/paper-gpu.ts';
import { type Reading, readAssembly } from './assembly.ts';
import type { Target } from './gpus.ts';

/** Longest that one text may take, in milliseconds. */
const MOST_MS = 60_000;

/** What a compiler made of a text. */
export interface Compiled extends Reading {
  registers: number;
  /** Registers that did not fit, each time that one is stored. */
  spills: number;
  /** Bytes of memory that a thread takes for what did not fit or is indexed; on Adreno loads of it. */
  scratch: number;
  /** Bytes of workgroup memory. */
  shared: number;
  /** Subgroups that fit a core, where the driver tells. */
  waves?: number;
  instructions: number;
  /** Loops that the WGSL compiler guards with a counter of 64 bits: those whose end it cannot tell. */
  guards: number;
}
export type Outcome = Compiled | { error: string };

/** An adapter, and its driver's name and version. */
export type Found = Omit<Adapter, 'profile'> & { description: string };

type Answer =
  | { adapter: Found }
  | { error: string }
  | { statistics: Record<string, number>; assembly: string };

/** Builds the layer, and puts it where drivers find it. @returns the folder */
export function buildLayer(work: string): string {
  const folder = join(work, 'layer');
  mkdirSync(folder, { recursive: true });
  const header = '/usr/include/vulkan/vk_layer.h';
  if (!existsSync(header)) throw new Error(`${header} is missing: install libvulkan-dev and gcc.`);
  const library = join(folder, 'libgpu_compiler.so');
  execFileSync('gcc', [
    '-shared',
    '-fPIC',
    '-O1',
    '-Wall',
    '-o',
    library,
    join(import.meta.dirname, 'layer.c'),
  ]);
  copyFileSync(join(import.meta.dirname, 'layer.json'), join(folder, 'layer.json'));
  return folder;
}

/** A process of compile.mjs. */
class Process {
  readonly #child: ChildProcess;
  #noise = '';

  constructor(target: Target, layer: string, work: string) {
    const assembly = join(work, `assembly-${target.name}`);
    rmSync(assembly, { recursive: true, force: true });
    mkdirSync(assembly, { recursive: true });
    this.#child = fork(join(import.meta.dirname, 'compile.mjs'), {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {
        ...process.env,
        XDG_RUNTIME_DIR: work,
        VK_LAYER_PATH: layer,
        VK_INSTANCE_LAYERS: 'VK_LAYER_gpu_compiler',
        MESA_SHADER_CACHE_DISABLE: 'true',
        GPU_COMPILER_OUT: join(assembly, 'statistics'),
        GPU_COMPILER_ASM: assembly,
        ...target.env,
      },
    });
    this.#child.stderr!.on('data', (data) => {
      this.#noise = (this.#noise + data).slice(-500);
    });
  }

  /** The next answer; an end of the process or of patience is an error. */
  next(): Promise<Answer> {
    const child = this.#child;
    return new Promise((resolve) => {
      const settle = (answer: Answer): void => {
        clearTimeout(timer);
        child.removeAllListeners('message').removeAllListeners('exit');
        resolve(answer);
      };
      const timer = setTimeout(() => settle({ error: `no end after ${MOST_MS / 1000} s` }), MOST_MS);
      child.once('message', (answer) => settle(answer as Answer));
      child.once('exit', (code, signal) =>
        settle({ error: `the compiler ended with ${signal ?? code}: ${this.#noise.trim()}` }),
      );
    });
  }

  ask(code: string): Promise<Answer> {
    const answer = this.next();
    // A process that ended has said so.
    this.#child.send(code, () => {});
    return answer;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** At once: a driver without hardware can crash as it closes. */
  end(): void {
    this.#child.kill('SIGKILL');
  }
}

function compiled(
  target: Target,
  { statistics, assembly }: Exclude<Answer, { adapter: Found } | { error: string }>,
) {
  const of = (...names: string[]): number | undefined =>
    names.map((name) => statistics[name]).find((value) => value !== undefined);
  // RADV counts a whole subgroup's.
  const sharers = target.maker === 'amd' ? statistics.subgroup! : 1;
  const waves = of('Subgroups per SIMD', 'Max Waves Per Core');
  return {
    registers: of('VGPRs', 'Max live registers', 'Registers used') ?? 0,
    spills: of('Spilled VGPRs', 'Spill Count', 'STP Count') ?? 0,
    scratch: (of('Scratch size', 'Scratch Memory Size', 'LDP Count') ?? 0) / sharers,
    shared: of('LDS size', 'Workgroup Memory Size') ?? 0,
    ...(waves !== undefined && { waves }),
    instructions: of('Instructions', 'Instruction Count') ?? 0,
    guards: statistics.guards ?? 0,
    ...readAssembly(target.maker, assembly),
  };
}

async function start(
  target: Target,
  layer: string,
  work: string,
): Promise<{ process: Process; found: Found }> {
  const started = new Process(target, layer, work);
  const answer = await started.next();
  if ('adapter' in answer) return { process: started, found: answer.adapter };
  started.end();
  throw new Error(`${target.name}: no device: ${'error' in answer ? answer.error : ''}`);
}

/** What the driver says of the GPU. */
export async function probe(target: Target, layer: string, work: string): Promise<Found> {
  const { process, found } = await start(target, layer, work);
  process.end();
  return found;
}

/** Compiles texts one after the other; one that takes the compiler down has that as its error. */
export async function compileAll(
  target: Target,
  texts: readonly string[],
  {
    layer,
    work,
    each,
  }: { layer: string; work: string; each: (text: string, outcome: Outcome, assembly?: string) => void },
): Promise<void> {
  let current: Process | undefined;
  try {
    for (const text of texts) {
      if (!current) current = (await start(target, layer, work)).process;
      const answer = await current.ask(text);
      if ('statistics' in answer) each(text, compiled(target, answer), answer.assembly);
      else if ('error' in answer) each(text, { error: answer.error });
      if ('error' in answer && (current.ended || answer.error.startsWith('no end'))) {
        current.end();
        current = undefined;
      }
    }
  } finally {
    current?.end();
  }
}
