// Children that are healed, on real WebGPU: whole runs, runs that are stopped and gone on with, finished children that are healed on.
// All have the shapes of one model: the kernels of training take long to compile.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ConvertFolderOptions, convertFolder } from '../../src/convert/convert-folder.ts';
import { healFolder } from '../../src/convert/heal-folder.ts';
import { type ConvertReport, reportText } from '../../src/convert/report.ts';
import { specOf } from '../../src/families/index.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { readHeader } from '../../src/formats/safetensors.ts';
import { ownTensors } from '../../src/model/spec.ts';
import { memorySource } from '../support/memory-source.ts';
import { parentFiles, textOf, useParents } from '../support/parents.ts';
import { tinyModel } from '../support/tiny-models.ts';

const { gpu } = useParents();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'convert-heal-'));
});
afterAll(() => rm(folder, { recursive: true }));

const CHILD = { layers: [1, 2], linear: true, rank: 12, sharePairs: 1, heal: { tokens: 3000 } };

const run = (out: string, options: ConvertFolderOptions = {}) =>
  convertFolder(
    memorySource(parentFiles(tinyModel('mobilellm', 7))),
    join(folder, out),
    { text: textOf(480), window: 48, questions: 0, ...CHILD, ...options },
    { device: gpu().device },
  );

/** A report's stages without their times. */
const untimed = ({ steps }: ConvertReport) => steps.map(({ decode: _, ...stage }) => stage);

test('heals what it wrote, and times parent and child', async () => {
  const report = await run('healed');
  expect(report.steps.map(({ step }) => step).slice(-2)).toEqual([
    'written, 1 pair shared (average)',
    'healed',
  ]);
  const { before, after } = report.healing!.perplexity;
  expect(after).toBeLessThan(0.9 * before);
  const { tensors } = await readHeader(await openFolder(join(folder, 'healed')), 'model.safetensors');
  const child = specOf(JSON.parse(await readFile(join(folder, 'healed', 'config.json'), 'utf8')));
  expect([...tensors.keys()].sort()).toEqual(
    ownTensors(child)
      .map(({ name }) => name)
      .sort(),
  );
  expect(JSON.parse(await readFile(join(folder, 'healed', 'report.json'), 'utf8')).healing).toEqual(
    report.healing,
  );
  expect(report.speed.decode.parent.samples.length).toBe(report.speed.decode.child.samples.length);
  expect(report.speed.decode.child.median).toBeGreaterThan(0);
  const text = reportText(report);
  expect(text).toMatch(/healed: perplexity [\d.]+ -> [\d.]+, \d+ tokens \([\d.]+ passes/);
  expect(text.includes('a CPU that plays GPU')).toBe(gpu().software);
});

test('a finished child is healed on, with text that it has not seen', async () => {
  const parentSource = memorySource(parentFiles(tinyModel('mobilellm', 7)));
  const child = join(folder, 'healed');
  const more = {
    text: textOf(2000),
    questions: 0,
    tokens: 480,
    window: 48,
    heal: { tokens: 1500, seed: 2, stepTokens: 94 },
  };
  const out = join(folder, 'healed-on');
  const healing = await healFolder(child, parentSource, out, more, { device: gpu().device });
  expect(healing.perplexity.after).toBeLessThan(healing.perplexity.before);
  expect(healing.tokens).toBeGreaterThan(1000);
  const report = JSON.parse(await readFile(join(out, 'report.json'), 'utf8'));
  const before = JSON.parse(await readFile(join(folder, 'healed', 'report.json'), 'utf8'));
  const { steps } = report;
  expect({ ...report, steps: before.steps }).toEqual({ ...before, healing });
  expect(steps.slice(0, -1)).toEqual(before.steps);
  expect(steps.at(-1)).toMatchObject({ step: 'healed on', perplexity: healing.perplexity.after });
  expect(await readFile(join(out, 'README.md'), 'utf8')).toMatch(/healed on/);
  expect(healing.earlier).toEqual([before.healing]);
  expect((await readdir(out)).sort()).toEqual((await readdir(join(folder, 'healed'))).sort());
  const other = memorySource(parentFiles(tinyModel('llama-untied-bias', 7)));
  await expect(
    healFolder(child, other, join(folder, 'never'), more, { device: gpu().device }),
  ).rejects.toMatchObject({ code: 'bad-argument', message: expect.stringMatching(/is no child of/) });
  expect(await readdir(folder)).not.toContain('never.work');
});

test('goes on where healing was stopped, to the very child that is never stopped', async () => {
  const whole = JSON.parse(await readFile(join(folder, 'healed', 'report.json'), 'utf8')) as ConvertReport;
  const stop = new AbortController();
  const lines: string[] = [];
  const log = (line: string): void => {
    lines.push(line);
    if (line.startsWith('healing: step ')) stop.abort();
  };
  const before = (await readdir(folder)).sort();
  const stopped = run('stopped', { log, signal: stop.signal });
  await expect(stopped).rejects.toMatchObject({ code: 'aborted' });
  expect(lines.at(-1)).toMatch(/kept in .*stopped\.work: the same command goes on/);
  expect((await readdir(folder)).sort()).toEqual([...before, 'stopped.work'].sort());
  const work = join(folder, 'stopped.work');
  expect((await readdir(work)).some((file) => file.endsWith('.part'))).toBe(false);
  const other = run('stopped', { layers: [0, 1] });
  await expect(other).rejects.toMatchObject({
    code: 'bad-checkpoint',
    message: expect.stringMatching(/of another conversion: layers is \[1,2\], asked for \[0,1\]/),
  });
  const otherText = run('stopped', { text: textOf(700) });
  await expect(otherText).rejects.toMatchObject({ message: expect.stringMatching(/text is /) });
  lines.length = 0;
  const report = await run('stopped', { log: (line) => lines.push(line) });
  expect(lines.join('\n')).toMatch(/healing: going on behind step 1 of/);
  expect(lines.join('\n')).not.toMatch(/fitting/);
  const bytes = (out: string): Promise<Buffer> => readFile(join(folder, out, 'model.safetensors'));
  expect((await bytes('stopped')).equals(await bytes('healed'))).toBe(true);
  expect(untimed(report)).toEqual(untimed(whole));
  expect(report.healing!.curve.map(({ loss }) => loss)).toEqual(whole.healing!.curve.map(({ loss }) => loss));
  expect(await readdir(folder)).not.toContain('stopped.work');
  expect((await readdir(join(folder, 'stopped'))).sort()).toEqual(
    (await readdir(join(folder, 'healed'))).sort(),
  );
});
