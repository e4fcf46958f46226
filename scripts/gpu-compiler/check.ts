// npm run check:gpu: what the compilers of GPUs that are not there make of every kernel. See docs/gpu-compilers.md.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildLayer, compileAll, type Found, type Outcome, probe } from './driver.ts';
import { GPU_NAMES, type Target, targets } from './gpus.ts';
import { addResult, changes, keptText, printed, type Results, readKept, spilling } from './table.ts';
import { type NamedShader, shaderTexts } from './texts.ts';

const ROOT = join(import.meta.dirname, '../..');
const TABLE = join(ROOT, 'docs/gpu-compilers.table.md');
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
}

const save = ({ file, known }: Pick<Job, 'file' | 'known'>): void =>
  writeFileSync(file, JSON.stringify(known));

async function prepare(target: Target, layer: string): Promise<Job> {
  const file = join(WORK, `${target.name}.json`);
  const of = `${target.driver} ${READER}`;
  let known: Known | undefined = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  if (known?.of !== of) known = { of, found: await probe(target, layer, WORK), outcomes: {} };
  return { target, file, known, texts: [], all: [] };
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
      const name = `${target.name} ${names.get(code)} ${hash(code).slice(0, 4)}.s`;
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
  return names.length === 0 ? [...all] : all.filter(({ name }) => names.includes(name));
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
  if (write && (only || wanted.length < GPU_NAMES.length))
    throw new Error(
      '--write needs all kernels and GPUs: name the folder of drivers in GPU_COMPILER_DRIVERS, no GPU and no --only.',
    );
  if (!drivers) console.log('GPU_COMPILER_DRIVERS is not set: AMD only, without Intel and Adreno.');

  const layer = buildLayer(WORK);
  const jobs: Job[] = [];
  for (const target of wanted) jobs.push(await prepare(target, layer));
  const made = new Map<string, NamedShader[]>();
  for (const job of jobs) {
    const { description: _, features, ...rest } = job.known.found;
    const adapter = { ...rest, features: { ...features, timestamps: false }, profile: 'gpu' } as const;
    const key = JSON.stringify(adapter);
    const texts = made.get(key) ?? shaderTexts(adapter);
    made.set(key, texts);
    job.all = texts;
    job.texts = texts.filter(({ name }) => only.split(' ').every((word) => name.includes(word)));
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

function report(jobs: readonly Job[], write: boolean): number {
  const results: Results = new Map();
  const failed: string[] = [];
  for (const { target, known, texts } of jobs)
    for (const { name, code, origins } of texts) {
      const outcome = known.outcomes[hash(code)]!;
      if ('error' in outcome)
        failed.push(`${name} does not compile on ${target.name}: ${placed(outcome.error, origins)}`);
      else addResult(results, name, target.name, outcome);
    }
  const names = jobs.map(({ target }) => target.name);
  console.log(
    'Each cell: registers, vector instructions a multiply-add, loads in flight; behind ! spills and bytes of scratch.',
  );
  for (const line of printed(results, names)) console.log(line);
  const count = jobs.reduce((sum, { texts }) => sum + texts.length, 0);
  console.log(`${count} pipelines of ${results.size} kernels on ${names.length} GPUs.`);
  for (const line of failed) console.error(line);
  if (write) {
    writeFileSync(TABLE, keptText(spilling(results), names));
    console.log(`Wrote ${TABLE}.`);
    return failed.length > 0 ? 1 : 0;
  }
  const kept = existsSync(TABLE) ? readKept(readFileSync(TABLE, 'utf8')) : new Map();
  const changed = changes(results, kept);
  for (const { kernel, gpu, before, now, worse } of changed)
    if (worse) console.error(`${kernel} spills more on ${gpu}: ${now} (spills / scratch), it was ${before}.`);
  const better = changed.filter(({ worse }) => !worse).length;
  const all =
    names.length === GPU_NAMES.length && jobs.every(({ texts, all }) => texts.length === all.length);
  const gone = all ? [...kept.keys()].filter((kernel) => !results.has(kernel)).length : 0;
  if (better + gone > 0)
    console.log(
      `${better} spill less than docs/gpu-compilers.table.md says, ${gone} of its kernels are gone: keep that with --write.`,
    );
  return failed.length > 0 || changed.some(({ worse }) => worse) ? 1 : 0;
}
