// Compares this engine with others that run in a page, on the same weights: see docs/peers.md.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { PEERS, ROWS } from './engines.mjs';
import { markdown } from './report.mjs';

const HERE = import.meta.dirname;
const ROOT = join(HERE, '../..');
const MODELS = join(ROOT, '.models/peers');
const DOC = join(ROOT, 'docs/peers.md');
const MARKS = ['<!-- table: node scripts/peers/run.mjs --write -->', '<!-- end of table -->'];

const HELP = `Compares shishulm with other engines in one page of a browser, on the same weights of SmolLM2-135M.

  npm ci && npm run build              in the repository, once
  python3 scripts/peers/make-models.py there, once: GGUF and ONNX (1.5 GB)
  python3 scripts/peers/web-llm/make.py likewise, for web-llm; needs emscripten
  cd scripts/peers && npm ci           once: the other engines
  node run.mjs [options]

  --minutes N      about how long the run may take (10); what would take longer is left out, and said so
  --browsers LIST  of ${'chromium,firefox'} (both): Chromium on SwiftShader, Firefox on what Vulkan gives it;
                   WEBGPU_ADAPTER=hardware takes the real GPU
  --engines LIST   of ${Object.keys(PEERS).join(', ')}
                   (${Object.keys(PEERS)
                     .filter((name) => PEERS[name]?.usual)
                     .join(',')})
  --rows LIST      of ${ROWS.map(({ name }) => name).join(', ')} (all)
  --loads N        loads of each engine, each in a browser of its own (2)
  --repeat N       most samples of a row, the first of which does not count (6)
  --steps N        most decode steps of a sample (16)
  --out FILE       where the JSON goes (runs/peers.json); it is written after each step
  --note TEXT      said above the table
  --table FILE     prints the table of such a JSON, and runs nothing
  --write          puts the table into docs/peers.md
`;

const options = /** @type {const} */ ({
  minutes: { type: 'string', default: '10' },
  browsers: { type: 'string', default: 'chromium,firefox' },
  engines: {
    type: 'string',
    default: Object.keys(PEERS)
      .filter((name) => PEERS[name]?.usual)
      .join(','),
  },
  rows: { type: 'string', default: ROWS.map(({ name }) => name).join(',') },
  loads: { type: 'string', default: '2' },
  repeat: { type: 'string', default: '6' },
  steps: { type: 'string', default: '16' },
  out: { type: 'string', default: join(ROOT, 'runs/peers.json') },
  note: { type: 'string', default: '' },
  table: { type: 'string' },
  write: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
});

/** @param {string} text @returns {never} */
function stop(text) {
  console.error(text);
  process.exit(1);
}

/** @param {string} option @param {string} text @param {readonly string[]} known */
function listOf(option, text, known) {
  const names = text.split(',').filter(Boolean);
  for (const name of names)
    if (!known.includes(name)) stop(`--${option}: "${name}" is none of ${known.join(', ')}.`);
  return names;
}

/** @param {string} option @param {string} text */
function numberOf(option, text) {
  const value = Number(text);
  return value > 0 ? value : stop(`--${option}: "${text}" is not a number above 0.`);
}

/** @param {string} option @param {string} text */
function countOf(option, text) {
  const value = numberOf(option, text);
  return Number.isInteger(value) ? value : stop(`--${option}: "${text}" is no whole number.`);
}

/** @param {string} file */
function readResult(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    return stop(`--table: ${file} cannot be read: ${/** @type {Error} */ (error).message}`);
  }
}

/** The usual engines; that one which needs a compiler of its own where it was made. */
function usual() {
  const names = Object.keys(PEERS).filter((name) => PEERS[name]?.usual);
  const here = names.filter(
    (name) =>
      PEERS[name]?.kind !== 'webllm' || PEERS[name]?.files.every((file) => existsSync(join(MODELS, file))),
  );
  for (const name of names)
    if (!here.includes(name))
      console.error(`${name} is left out: python3 scripts/peers/web-llm/make.py makes it.`);
  return here;
}

/** Ends with what to do where something is missing. @param {string[]} names */
function checkFiles(names) {
  if (!existsSync(join(HERE, 'node_modules/@huggingface/transformers')))
    stop('The other engines are not installed: npm ci, in scripts/peers.');
  if (!existsSync(join(ROOT, 'node_modules/playwright'))) stop('Run npm ci in the repository first.');
  if (!existsSync(join(ROOT, 'dist/index.js')))
    stop('The package is not built: npm run build, in the repository.');
  for (const name of names)
    for (const file of PEERS[name]?.files ?? [])
      if (!existsSync(join(MODELS, file))) {
        const maker = PEERS[name]?.kind === 'webllm' ? 'web-llm/make.py' : 'make-models.py';
        const mend = `python3 scripts/peers/${maker} makes it; or leave ${name} out, with --engines`;
        stop(`${join('.models/peers', file)} is missing: ${mend}.`);
      }
}

function versions() {
  const found = /** @type {Record<string, string>} */ ({});
  const files = {
    shishulm: join(ROOT, 'package.json'),
    ...Object.fromEntries(
      ['@huggingface/transformers', 'onnxruntime-web', '@wllama/wllama', '@mlc-ai/web-llm'].map((name) => [
        name,
        join(HERE, 'node_modules', name, 'package.json'),
      ]),
    ),
  };
  for (const [name, file] of Object.entries(files))
    found[name] = JSON.parse(readFileSync(file, 'utf8')).version;
  return found;
}

function commit() {
  try {
    return execFileSync('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

/** @param {any} result */
function show(result) {
  const text = [...(result.note ? [`*${result.note}*`] : []), markdown(result)].join('\n\n');
  console.log(text);
  return text;
}

/** @param {string} text */
function writeDoc(text) {
  const doc = readFileSync(DOC, 'utf8');
  const [from, to] = MARKS.map((mark) => doc.indexOf(mark));
  if (from === undefined || to === undefined || from < 0 || to < from)
    stop(`${DOC} has no place for the table.`);
  writeFileSync(DOC, `${doc.slice(0, from)}${MARKS[0]}\n\n${text}\n\n${doc.slice(to)}`);
}

async function main() {
  const { values } = (() => {
    try {
      return parseArgs({ options });
    } catch (error) {
      return stop(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
    }
  })();
  if (values.help) return console.log(HELP);
  if (values.table) {
    const text = show(readResult(values.table));
    if (values.write) writeDoc(text);
    return;
  }
  const names =
    values.engines === undefined ? usual() : listOf('engines', values.engines, Object.keys(PEERS));
  const browsers = listOf('browsers', values.browsers, ['chromium', 'firefox']);
  const settings = {
    names,
    rows: listOf(
      'rows',
      values.rows,
      ROWS.map(({ name }) => name),
    ),
    loads: countOf('loads', values.loads),
    repeat: countOf('repeat', values.repeat),
    steps: countOf('steps', values.steps),
    limitMs: 4000,
  };
  const minutes = numberOf('minutes', values.minutes);
  checkFiles(names);
  // They need what was just looked for.
  const [{ serve }, { BrowserRun }] = await Promise.all([import('./server.mjs'), import('./session.mjs')]);

  const out = resolve(values.out);
  mkdirSync(dirname(out), { recursive: true });
  const begun = Date.now();
  const before = loadavg()[0] ?? 0;
  const result = {
    date: new Date().toISOString(),
    note: values.note,
    commit: commit(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    load: [before],
    packages: versions(),
    settings: { ...settings, minutes },
    browsers: /** @type {import('./session.mjs').Report[]} */ ([]),
  };
  const save = () => writeFileSync(out, `${JSON.stringify(result, undefined, 1)}\n`);
  const say = (/** @type {string} */ text) =>
    console.error(`${((Date.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${text}`);
  const server = await serve({
    dist: join(ROOT, 'dist'),
    page: join(HERE, 'page'),
    node_modules: join(HERE, 'node_modules'),
    models: MODELS,
  });
  for (const [at, name] of browsers.entries()) {
    const left = begun + minutes * 60_000 - Date.now();
    const run = new BrowserRun(name, server, settings, Date.now() + left / (browsers.length - at), {
      say,
      save,
    });
    result.browsers.push(run.report);
    await run.run();
  }
  result.load.push(loadavg()[0] ?? 0);
  server.close();
  save();
  const text = show(result);
  if (values.write) writeDoc(text);
  say(`wrote ${out}`);
  if (result.browsers.some(({ failed }) => failed)) process.exitCode = 1;
}

await main();
