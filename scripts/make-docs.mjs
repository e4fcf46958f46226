// Writes docs/api.md, the reference of the package's entries, from the docstrings of their types in dist/: `npm run docs`.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';

/** @typedef {{ kind: string, text: string }} Token */
/**
 * What is read of a declaration in API Extractor's model.
 * @typedef {{ kind: string, name: string, docComment: string, excerptTokens: Token[], members?: Item[] }} Item
 */

const root = join(import.meta.dirname, '..');
const ENTRIES = {
  shishulm: 'dist/index.d.ts',
  'shishulm/openai': 'dist/api/openai.d.ts',
  'shishulm/openai-fetch': 'dist/doors/openai-fetch.d.ts',
  'shishulm/ai-sdk': 'dist/doors/ai-sdk.d.ts',
  'shishulm/langchain': 'dist/doors/langchain.d.ts',
  'shishulm/prompt-api': 'dist/doors/prompt-api.d.ts',
  'shishulm/convert': 'dist/convert/index.d.ts',
  'shishulm/bench': 'dist/bench.d.ts',
};
const KINDS = ['Function', 'Class', 'Variable', 'Interface', 'TypeAlias'];

/** The exported declarations of a module, as API Extractor sees them. @param {string} entry @param {string} folder */
async function exportsOf(entry, folder) {
  const mainEntryPointFilePath = join(root, entry);
  const apiJsonFilePath = join(folder, 'api.json');
  const compilerOptions = {
    target: 'es2023',
    module: 'esnext',
    moduleResolution: 'bundler',
    lib: ['es2023', 'esnext.disposable', 'dom', 'dom.iterable'],
    types: [],
    strict: true,
    skipLibCheck: true,
  };
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath,
      compiler: { overrideTsconfig: { compilerOptions, files: [mainEntryPointFilePath] } },
      apiReport: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      docModel: { enabled: true, apiJsonFilePath },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, 'package.json'),
  });
  const { errorCount } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback(message) {
      if (message.messageId === 'ae-forgotten-export') console.warn(`${entry}: ${message.text}`);
      // Release tags and hyphens after a parameter are not this project's habit.
      if (message.logLevel !== 'error') message.handled = true;
    },
  });
  if (errorCount > 0) throw new Error(`${entry}: ${errorCount} errors`);
  /** @type {{ members: [{ members: Item[] }] }} */
  const model = JSON.parse(await readFile(apiJsonFilePath, 'utf8'));
  return model.members[0].members;
}

/** A docstring's text, and its tags. @param {string} comment */
function parseDoc(comment) {
  const text = comment
    .trim()
    .replace(/^\/\*\*|\*\/$/g, '')
    .replace(/^\s*\* ?/gm, '')
    .trim();
  const [about = '', ...tags] = text.split(/^@(?=param|returns|throws)/m);
  const flat = (/** @type {string} */ part) =>
    part
      .trim()
      .replace(/\s*\n\s*\n\s*/g, '\n\n')
      .replace(/([^\n])\n(?!\n)/g, '$1 ');
  return { about: flat(about), tags: tags.map((tag) => flat(tag).replace(/\s+/g, ' ')) };
}

/** What a type is that is taken from the list of weight formats. */
const formats = [
  ...(await readFile(join(root, 'dist/quant/index.d.ts'), 'utf8')).matchAll(/readonly (\w+): WeightFormat/g),
].map(([, name]) => `'${name}'`);

/** @param {Item} item */
const code = ({ excerptTokens }) =>
  excerptTokens
    .map(({ text }) => text)
    .join('')
    .replace(/^export (declare )?/, '')
    .replace('keyof typeof FORMATS', formats.join(' | '))
    .replace(/;$/, '')
    .trim();

/** @param {string[]} tags */
const tagLines = (tags) =>
  tags.map((tag) => {
    const [, name, rest = ''] = /** @type {RegExpExecArray} */ (/^(\w+) ?(.*)$/s.exec(tag));
    if (name === 'param') return `- ${rest.replace(/^(\S+)(?: -)? ?/, '`$1`: ')}`;
    return `- ${name === 'returns' ? 'Returns' : 'Throws'} ${rest}`;
  });

/** A member on one line. @param {Item} member */
function memberLine(member) {
  const { about, tags } = parseDoc(member.docComment);
  const words = [
    about.replace(/\n+/g, ' '),
    ...tagLines(tags).map((line) => `${line.slice(2).replace(/\.$/, '')}.`),
  ];
  const text = words.filter(Boolean).join(' ');
  return `- \`${code(member).replace(/\s*\n\s*/g, ' ')}\`${text && `: ${text}`}`;
}

/** The section of a name; overloads share it. @param {Item[]} items */
function section(items) {
  const first = /** @type {Item} */ (items[0]);
  const { about, tags } = parseDoc(items.map(({ docComment }) => docComment).find(Boolean) ?? '');
  const members = first.members ?? [];
  return [
    `### ${first.name}`,
    about || undefined,
    ['```ts', ...items.map(code), '```'].join('\n'),
    tagLines(tags).join('\n') || undefined,
    members.map(memberLine).join('\n') || undefined,
  ]
    .filter((part) => part !== undefined)
    .join('\n\n');
}

/**
 * @param {string} entry
 * @param {Item[]} items
 * @param {Set<string>} told names of earlier chapters, told only there; this chapter's are added
 */
function chapter(entry, items, told) {
  /** @type {Map<string, Item[]>} */
  const named = new Map();
  for (const kind of KINDS)
    for (const item of items)
      if (item.kind === kind) named.set(item.name, [...(named.get(item.name) ?? []), item]);
  const again = [...named.keys()].filter((name) => told.has(name));
  const here = [...named].filter(([name]) => !told.has(name));
  for (const [name] of here) told.add(name);
  const also = again.length > 0 ? [`Also, as above: ${again.map((name) => `\`${name}\``).join(', ')}.`] : [];
  return [`## ${entry}`, ...also, ...here.map(([, same]) => section(same))].join('\n\n');
}

const folder = await mkdtemp(join(tmpdir(), 'docs-'));
try {
  const chapters = [];
  const told = new Set();
  for (const [entry, file] of Object.entries(ENTRIES))
    chapters.push(chapter(entry, await exportsOf(file, folder), told));
  const head =
    '# API\n\nFrom the docstrings, by `npm run docs`. `shishulm/worker` exports nothing: it is the module of the worker.';
  await writeFile(join(root, 'docs/api.md'), `${[head, ...chapters].join('\n\n')}\n`);
} finally {
  await rm(folder, { recursive: true });
}
