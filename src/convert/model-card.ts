// README.md of a child: what it was made of and how, what it is worth, and how it is loaded.
import { readOptional, type Source } from '../formats/source.ts';
import { type ConvertReport, healingText, speedText, stackText } from './report.ts';
import { stageNotes, stageTable } from './stages.ts';

export const CARD_FILE = 'README.md';

/** What is known of a parent beside its weights. */
export interface ParentFacts {
  /** What it is called. */
  name: string;
  /** Its repository on a hub, `owner/name`. */
  repository?: string | undefined;
  /** The fields of its own card that say under which licence it is: `license`, `license_name`, `license_link`. */
  license: Readonly<Record<string, string>>;
}

/** The repository of an address of a hub. */
export function repositoryOf(address: string): string | undefined {
  const [, owner, name] = /^https?:\/\/[^/]+\/([\w.-]+)\/([\w.-]+)\/resolve\//.exec(address) ?? [];
  return owner && name && `${owner}/${name}`;
}

/** Fields of a card's YAML header that are a plain word or text on their line. */
export function cardHeader(card: string): Record<string, string> {
  const [, header = ''] = /^---\r?\n([\s\S]*?)\r?\n---\s/.exec(card) ?? [];
  const fields = header.split(/\r?\n/).flatMap((line): [string, string][] => {
    const [, name, quoted, plain] =
      /^([\w-]+):\s+(?:(?:"([^"\\]*)"|'[^']*')|([\w./:+-][\w ./:+-]*?))\s*$/.exec(line) ?? [];
    const value = quoted ?? plain ?? /'([^']*)'/.exec(line)?.[1];
    return name !== undefined && value !== undefined ? [[name, value]] : [];
  });
  return Object.fromEntries(fields);
}

const LICENSE_FIELDS = ['license', 'license_name', 'license_link'];

/** What a parent's own files and its place tell of it. */
export async function parentFacts(source: Source): Promise<ParentFacts> {
  // A child that took hours does not fail for want of its parent's card.
  const bytes = await readOptional(source, CARD_FILE).catch(() => undefined);
  const header = bytes ? cardHeader(new TextDecoder().decode(bytes)) : {};
  const repository = repositoryOf(source.name);
  const folder = source.name
    .replace(/[/\\]+$/, '')
    .split(/[/\\]/)
    .at(-1);
  return {
    name: repository ?? (folder || 'the parent'),
    repository,
    license: Object.fromEntries(
      LICENSE_FIELDS.flatMap((field) => (header[field] === undefined ? [] : [[field, header[field]]])),
    ),
  };
}

/** A value of YAML, in quotes: JSON's are YAML's. */
const yaml = (value: string): string => JSON.stringify(value);

function headerOf({ license, repository }: ParentFacts): string[] {
  return [
    '---',
    ...Object.entries(license).map(([field, value]) => `${field}: ${yaml(value)}`),
    ...(repository ? [`base_model: ${yaml(repository)}`] : []),
    'pipeline_tag: text-generation',
    'library_name: transformers',
    'tags:',
    '- shishulm',
    '---',
  ];
}

function recipe(report: ConvertReport): string[] {
  const { layers, r2, healing, sharedPairs, share, pairs, tokens } = report;
  const explained = r2.map((map) => map.r2);
  const range = explained.length > 0 ? [Math.min(...explained), Math.max(...explained)] : [];
  return [
    `1. Attention was taken from block${layers.length === 1 ? '' : 's'} ${layers.join(', ')} (counted from 0), chosen on ${tokens.choosing} tokens of text.`,
    ...(range.length > 0
      ? [
          `1. A linear map of the normalised hidden states stands in its place, fitted to ${tokens.calibration} tokens: R² ${range.map((value) => value.toFixed(2)).join(' to ')} on text that nothing was fitted to.`,
        ]
      : ['1. Nothing stands in its place.']),
    ...(sharedPairs > 0
      ? [
          `1. ${sharedPairs} ${sharedPairs === 1 ? 'pair' : 'pairs'} of neighbouring blocks share one MLP (${share}): ${pairs.map(({ layers }) => layers.join(' and ')).join(', ')}.`,
        ]
      : []),
    ...(healing
      ? [healing, ...(healing.earlier ?? [])]
          .reverse()
          .map((each) => `1. It was trained to its parent's logits; ${healingText(each)}.`)
      : ['1. It was not trained afterwards.']),
  ];
}

/** The card of a child. @param modelType of its `config.json` */
export function modelCard(report: ConvertReport, parent: ParentFacts, modelType: string): string {
  const { parameters, kvBytesPerToken, steps, speed } = report;
  const saved = (field: { parent: number; child: number }): string =>
    `${((100 * (field.parent - field.child)) / field.parent).toFixed(1)} %`;
  const licence = parent.license.license
    ? `Its parent's: ${[...new Set(Object.values(parent.license))].join(', ')}.`
    : "That of its parent, whose files don't name one.";
  return [
    ...headerOf(parent),
    '',
    `# ShishuLM of ${parent.name}`,
    '',
    `A smaller model made of ${parent.name} by taking attention from some of its blocks: ${stackText(report)}.`,
    `It has ${parameters.child.toLocaleString('en')} parameters (${saved(parameters)} fewer) and ${saved(kvBytesPerToken)} less KV cache.`,
    '',
    '## How it was made',
    '',
    ...recipe(report),
    '',
    '## What it is worth',
    '',
    stageTable(steps),
    '',
    stageNotes(steps),
    '',
    `${speedText(speed)}.`,
    '',
    'All figures, and the curve of training, are in `report.json`. One run, one seed. Measured against its parent alone: what the parent',
    'gets wrong, it gets wrong too, and it has not been tested for anything that is not in the table.',
    '',
    '## How it is loaded',
    '',
    'In a web page or Node, with the package `shishulm`:',
    '',
    '```js',
    "import { loadModel } from 'shishulm';",
    "const model = await loadModel('FOLDER, ADDRESS OR owner/name');",
    "for await (const { text } of model.generate([{ role: 'user', content: 'Hello' }])) console.log(text);",
    '```',
    '',
    ...(modelType === 'shishu'
      ? [
          'In Python; the code that it trusts is `modeling_shishu.py` of this folder:',
          '',
          '```python',
          'from transformers import AutoModelForCausalLM, AutoTokenizer',
          "model = AutoModelForCausalLM.from_pretrained('FOLDER or owner/name', trust_remote_code=True)",
          "tokenizer = AutoTokenizer.from_pretrained('FOLDER or owner/name')",
          '```',
        ]
      : [`Its layout is the public \`${modelType}\`, which transformers itself does not have.`]),
    '',
    '## Licence',
    '',
    licence,
    '',
  ].join('\n');
}
