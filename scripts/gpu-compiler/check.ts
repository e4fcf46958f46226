// npm run check:gpu: what the compilers of GPUs that are not there make of every kernel. See docs/gpu-compilers.md.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Counts, kernelRow } from '../../src/bench/work.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { shaderText } from '../../src/gpu/shader.ts';
import { buildLayer, type Compiled, compileAll, type Found, type Outcome, probe } from './driver.ts';
import { type Figure, figuresOfCode, figuresOfLaunches, GATED, gateOf, perWeight } from './gates.ts';
import { GPU_NAMES, type Target, targets } from './gpus.ts';
import { allLaunches, type ModelLaunches, modelLaunches } from './launches.ts';
import {
  addResult,
  changes,
  keptText,
  missesOf,
  printed,
  printedMisses,
  type Results,
  readKept,
  shrunk,
} from './table.ts';
import { type NamedShader, shaderTexts } from './texts.ts';

const ROOT = join(import.meta.dirname, '../..');
const TABLE = join(ROOT, 'docs/gpu-compilers.table.md');
/** What the model of speed reads, and the GPU whose compiler says it. */
const COUNTS = join(ROOT, 'src/bench/counts.ts');
const COUNTED_ON = 'navi31';
/** Kept between runs, so that what did not change is not compiled anew. */
const WORK = join(ROOT, '.cache/gpu-compiler');
/** Drivers at work at a time. */
const WORKERS = availableParallelism();

/** How often results are saved, so that a run that is stopped loses little. */
const SAVE_MS = 5000;

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 24);

/** What reads the drivers' answers: results of another reader are not kept. */
const READER = hash(
  ['layer.c', 'driver.ts', 'assembly.ts', 'compile.mjs']
    .map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
    .join(),
);

/** What is known of a GPU from earlier runs. */
interface Known {
  /** Driver and reader that it is of. */
  of: string;
  found: Found;
  /** By hash of a text. */
  outcomes: Record<string, Outcome>;
}

/** One GPU: its texts, and what became of them. */
interface Job {
  target: Target;
  file: string;
  known: Known;
  /** Those to compile, of all that there are. */
  texts: NamedShader[];
  all: NamedShader[];
  launches: ModelLaunches[];
}

const save = ({ file, known }: Pick<Job, 'file' | 'known'>): void =>
  writeFileSync(file, JSON.stringify(known));

async function prepare(target: Target, layer: string): Promise<Job> {
  const file = join(WORK, `${target.name}.json`);
  const of = `${target.driver} ${READER}`;
  let known: Known | undefined = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  if (known?.of !== of) known = { of, found: await probe(target, layer, WORK), outcomes: {} };
  return { target, file, known, texts: [], all: [], launches: [] };
}

/** Compiles the texts of a job that are not known yet, or all where their machine code is wanted in a folder. */
async function compileMissing({ target, known, texts, all, file }: Job, layer: string, folder?: string) {
  const names = new Map(texts.map(({ name, code }) => [code, name]));
  const missing = [...names.keys()].filter((code) => folder || !known.outcomes[hash(code)]);
  if (missing.length === 0) return;
  const begun = performance.now();
  let saved = begun;
  const seconds = () => Math.round((performance.now() - begun) / 1000);
  console.log(`${target.name}: compiling ${missing.length} of ${texts.length} (${known.found.description})`);
  await compileAll(target, missing, {
    layer,
    work: WORK,
    each(code, outcome, assembly) {
      known.outcomes[hash(code)] = outcome;
      if (performance.now() > saved + SAVE_MS) {
        save({ file, known });
        saved = performance.now();
      }
      // Names are for people; texts that differ by sizes alone have the same one.
      const name = `${target.name} ${names.get(code)} ${hash(code).slice(0, 4)}.s`.replaceAll('/', '_');
      if (folder && assembly) writeFileSync(join(folder, name), assembly);
    },
  });
  const used = new Set(all.map(({ code }) => hash(code)));
  known.outcomes = Object.fromEntries(Object.entries(known.outcomes).filter(([key]) => used.has(key)));
  save({ file, known });
  console.log(`${target.name}: done after ${seconds()} s`);
}

function chosen(all: readonly Target[], names: readonly string[]): Target[] {
  for (const name of names) {
    if (!GPU_NAMES.includes(name))
      throw new Error(`There is no GPU "${name}". There are: ${GPU_NAMES.join(', ')}.`);
    if (!all.some((target) => target.name === name))
      throw new Error(
        `${name} needs a folder of drivers, named by GPU_COMPILER_DRIVERS (docs/gpu-compilers.md).`,
      );
  }
  // The others are near kin of these: asked for by name.
  const wanted = names.length === 0 ? GATED : names;
  return all.filter(({ name }) => wanted.includes(name));
}

const USAGE = 'Usage: npm run check:gpu -- [GPU...] [--only WORDS] [--write] [--assembly FOLDER]';

function readArgs(args: string[]) {
  try {
    const options = {
      write: { type: 'boolean' },
      assembly: { type: 'string' },
      only: { type: 'string' },
    } as const;
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`);
  }
}

/** @returns the exit status */
export async function check(args: string[]): Promise<number> {
  const { values, positionals } = readArgs(args);
  const { write = false, assembly, only = '' } = values;
  mkdirSync(WORK, { recursive: true });
  if (assembly) mkdirSync(assembly, { recursive: true });
  const drivers = process.env.GPU_COMPILER_DRIVERS;
  const wanted = chosen(targets(drivers, WORK), positionals);
  if (write && (only || positionals.length > 0 || wanted.length < GATED.length))
    throw new Error(
      '--write needs all kernels and GPUs: name the folder of drivers in GPU_COMPILER_DRIVERS, no GPU and no --only.',
    );
  if (!drivers) console.log('GPU_COMPILER_DRIVERS is not set: AMD only, without Intel and Adreno.');

  const layer = buildLayer(WORK);
  const jobs: Job[] = [];
  for (const target of wanted) jobs.push(await prepare(target, layer));
  const made = new Map<string, Pick<Job, 'all' | 'launches'>>();
  for (const job of jobs) {
    const { description: _, features, ...rest } = job.known.found;
    const adapter = { ...rest, features: { ...features, timestamps: false }, profile: 'gpu' } as const;
    const key = JSON.stringify(adapter);
    let asked = made.get(key);
    if (!asked) {
      const launches = await modelLaunches(adapter);
      asked = { launches, all: shaderTexts(adapter, launches) };
      made.set(key, asked);
    }
    Object.assign(job, asked);
    job.texts = job.all.filter(({ name }) => only.split(' ').every((word) => name.includes(word)));
  }
  const waiting = [...jobs];
  const work = async (): Promise<void> => {
    for (let job = waiting.shift(); job; job = waiting.shift()) await compileMissing(job, layer, assembly);
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  return report(jobs, write);
}

/** The first line of an error, its places named as files have them. */
const placed = (error: string, origins: readonly string[]): string =>
  error.split('\n')[0]!.replace(/\bline (\d+):/g, (all, line) => `${origins[line - 1] ?? all}:`);

/** The figures of gates on a GPU: of each kernel that was asked for, and of what models launch of those, each once. */
function figuresOf({ target, known, texts, launches }: Job): Figure[] {
  const gpu = target.name;
  if (!GATED.includes(gpu)) return [];
  const compiledOf = (code: string): Compiled | undefined => {
    const outcome = known.outcomes[hash(code)];
    return outcome && 'registers' in outcome ? outcome : undefined;
  };
  const figures = texts.flatMap(({ group: kernel, code }): Figure[] => {
    const compiled = compiledOf(code);
    return compiled
      ? figuresOfCode(kernel, compiled).map(([gate, value]) => ({ gate, kernel, gpu, value }))
      : [];
  });
  const asked = new Set(texts.map(({ code }) => code));
  const seen = new Set<string>();
  const built = (shader: ShaderSpec) => {
    const { code } = shaderText(shader);
    return { code, compiled: compiledOf(code) };
  };
  for (const { gate, shader, code, value } of launches.flatMap((model) => figuresOfLaunches(model, built))) {
    const key = `${gate} ${value} ${code}`;
    const { only } = gateOf(gate);
    if (seen.has(key) || !asked.has(code) || (only && only !== gpu)) continue;
    seen.add(key);
    figures.push({ gate, kernel: kernelRow(shader), gpu, value });
  }
  return figures;
}

/** What the model of speed counts with, of the kernels that models launch. */
function countsText({ known, launches }: Job): string {
  const rows = new Map<string, Counts>();
  for (const { shader } of launches.flatMap(allLaunches)) {
    const outcome = known.outcomes[hash(shaderText(shader).code)];
    if (!outcome || 'error' in outcome) continue;
    const { flightBytes } = outcome;
    const ofWeights = shader.kernel.name.startsWith('matvec') ? perWeight({ shader }, outcome) : undefined;
    const perMultiplyAdd = ofWeights ?? outcome.perMultiplyAdd ?? 0;
    const row = kernelRow(shader);
    const { instructions, bytesInFlight } = rows.get(row) ?? {
      instructions: 0,
      bytesInFlight: Number.POSITIVE_INFINITY,
    };
    rows.set(row, {
      instructions: Math.max(instructions, perMultiplyAdd),
      bytesInFlight: Math.min(bytesInFlight, flightBytes),
    });
  }
  const lines = [...rows]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([row, { instructions, bytesInFlight }]) => {
      const name = /^\w+$/.test(row) ? row : `'${row}'`;
      return `  ${name}: { instructions: ${Number(instructions.toFixed(2))}, bytesInFlight: ${bytesInFlight} },\n`;
    });
  const text = readFileSync(COUNTS, 'utf8');
  return text.replace(/= \{[^;]*;/, `= {\n${lines.join('')}};`);
}

function report(jobs: readonly Job[], write: boolean): number {
  const results: Results = new Map();
  const failed: string[] = [];
  const all = jobs.every(({ texts, all }) => texts.length === all.length);
  for (const { target, known, texts } of jobs)
    for (const { name, group, code, origins } of texts) {
      const outcome = known.outcomes[hash(code)]!;
      if ('error' in outcome)
        failed.push(`${name} does not compile on ${target.name}: ${placed(outcome.error, origins)}`);
      else addResult(results, all ? group : name, target.name, outcome);
    }
  const names = jobs.map(({ target }) => target.name);
  console.log(
    'Each cell: registers, vector instructions a multiply-add, loads in flight; behind ! spills and bytes of scratch.',
  );
  for (const line of printed(results, names)) console.log(line);
  const count = jobs.reduce((sum, { texts }) => sum + texts.length, 0);
  console.log(
    `${count} pipelines of ${results.size} ${all ? 'rows of kernels' : 'kernels'} on ${names.length} GPUs.`,
  );
  for (const line of failed) console.error(line);

  const gated = names.filter((name) => GATED.includes(name));
  const misses = missesOf(jobs.flatMap(figuresOf));
  if (misses.size > 0) {
    console.log('\nGates that are missed, how often and the worst figure:');
    for (const line of printedMisses(misses, gated)) console.log(line);
  }
  const begun = !existsSync(TABLE);
  const kept = begun ? new Map() : readKept(readFileSync(TABLE, 'utf8'));
  const changed = changes(misses, kept, gated, all);
  const worse = begun && write ? [] : changed.filter((change) => change.worse);
  for (const { key, gpu, before, now } of worse)
    console.error(`Fails on ${gpu}: ${key}: ${now}${before && `, it was ${before}`}.`);
  if (write) {
    writeFileSync(TABLE, keptText(begun ? misses : shrunk(misses, kept)));
    writeFileSync(COUNTS, countsText(jobs.find(({ target }) => target.name === COUNTED_ON)!));
    console.log(`Wrote ${TABLE} and ${COUNTS}.`);
  } else if (changed.length > worse.length) {
    const better = changed.length - worse.length;
    console.log(`${better} are better than docs/gpu-compilers.table.md says: keep that with --write.`);
  }
  return failed.length > 0 || worse.length > 0 ? 1 : 0;
}
