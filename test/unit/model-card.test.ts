import { describe, expect, test } from 'vitest';
import { cardHeader, modelCard, parentFacts, repositoryOf } from '../../src/convert/model-card.ts';
import { type ConvertReport, reportText } from '../../src/convert/report.ts';
import { percentText, type StageReport, stageNotes, stageTable } from '../../src/convert/stages.ts';
import { memorySource } from '../support/memory-source.ts';

const spread = (median: number) => ({ median, q1: median - 1, q3: median + 1, samples: [median] });

function stage(step: string, perplexity: number, more: Partial<StageReport> = {}): StageReport {
  return {
    step,
    perplexity,
    parameters: 1000,
    weightBytes: 2_000_000,
    kvBytesPerToken: 512,
    quality: {
      heldOut: { tokens: 400, nats: Math.log(perplexity), perplexity },
      other: { tokens: 200, nats: Math.log(2 * perplexity), perplexity: 2 * perplexity },
      recall: { accuracy: 0.355, nats: 2.5, tokens: 432 },
      agreement: { questions: 50, tokens: 900, nats: 0.615, same: 0.9 },
    },
    ...more,
  };
}

const report: ConvertReport = {
  front: 1,
  mlpOnly: 2,
  end: 1,
  parent: 'owner/parent',
  sharedPairs: 1,
  share: 'average',
  pairs: [{ layers: [1, 2], nats: 0.136 }],
  layers: [1, 2],
  choice: undefined,
  r2: [
    { layer: 1, r2: 0.42, alpha: 0.1, rank: 8 },
    { layer: 2, r2: 0.74, alpha: 0.1, rank: 8 },
  ],
  steps: [
    stage('parent', 20, { decode: spread(10) }),
    stage('linear maps', 25, { decode: spread(8) }),
    stage('healed', 21, { parameters: 750, weightBytes: 1_500_000, kvBytesPerToken: 256, decode: spread(7) }),
  ],
  healing: {
    tokens: 30_000,
    steps: 15,
    passes: 1.5,
    seconds: 60,
    learningRate: 2e-4,
    mix: 1,
    hidden: 0,
    plan: { trained: 'all', lowest: 1, rows: 4, length: 255, accumulate: 2, steps: 15, bytes: 1 },
    curve: [],
    halvings: 0,
    perplexity: { before: 25, after: 21 },
  },
  speed: {
    position: 128,
    decode: { parent: spread(10), child: spread(7) },
    adapter: 'an adapter',
    software: false,
  },
  tokens: { calibration: 7000, choosing: 1000, test: 2000 },
  parameters: { parent: 1000, child: 750 },
  weightBytes: { parent: 2_000_000, child: 1_500_000 },
  kvBytesPerToken: { parent: 512, child: 256 },
};

describe('the table of stages', () => {
  test('has perplexity against the parent, recall, agreement, sizes and times', () => {
    const lines = stageTable(report.steps).split('\n');
    expect(lines[0]).toBe(
      "|  | perplexity | other text | recall | recall, nats | parent's tokens | answers, nats | MB | KV bytes a token | ms a token |",
    );
    expect(lines[2]).toBe('| parent | 20.00 | 40.00 | 0.355 | 2.500 | 0.900 | 0.615 | 2.0 | 512 | 10.00 |');
    expect(lines[4]).toBe(
      '| healed | 21.00 (+5.0 %) | 42.00 (+5.0 %) | 0.355 | 2.500 | 0.900 | 0.615 | 1.5 | 256 | 7.00 |',
    );
    expect(reportText(report)).toContain(lines.join('\n'));
  });

  test('leaves out columns of which nothing is known', () => {
    const bare = (step: string, perplexity: number): StageReport => {
      const { heldOut, other } = stage(step, perplexity).quality;
      return stage(step, perplexity, { quality: { heldOut, other } });
    };
    const [head] = stageTable([bare('parent', 2), bare('healed', 3)]).split('\n');
    expect(head).toBe('|  | perplexity | other text | MB | KV bytes a token |');
    expect(stageNotes([bare('parent', 2)])).not.toMatch(/Recall|Answers/);
    expect(stageTable([])).toBe('');
  });

  test.each([
    [10, 12, '+20.0 %'],
    [10, 9, '-10.0 %'],
    [10, 10, '0.0 %'],
  ])('%d to %d is %s', (from, to, text) => expect(percentText(from, to)).toBe(text));
});

describe('the card', () => {
  const parent = { name: 'owner/model', repository: 'owner/model', license: { license: 'apache-2.0' } };

  test('has a header that hubs read, the recipe, the figures, and how to load the model', () => {
    const card = modelCard(report, parent, 'shishu');
    expect(cardHeader(card)).toEqual({
      license: 'apache-2.0',
      base_model: 'owner/model',
      pipeline_tag: 'text-generation',
      library_name: 'transformers',
    });
    expect(card).toMatch(/^---\nlicense: "apache-2.0"\n/);
    expect(card).toContain('tags:\n- shishulm\n---\n');
    expect(card).toContain('# ShishuLM of owner/model');
    expect(card).toContain('1 attention + 2 MLP-only + 1 attention, 1 shared pair');
    expect(card).toContain('750 parameters (25.0 % fewer) and 50.0 % less KV cache');
    expect(card).toContain('from blocks 1, 2 (counted from 0), chosen on 1000 tokens');
    expect(card).toContain('R² 0.42 to 0.74');
    expect(card).toContain('1 pair of neighbouring blocks share one MLP (average)');
    expect(card).toContain('30000 tokens');
    expect(card).toContain(stageTable(report.steps));
    expect(card).toContain('trust_remote_code=True');
    expect(card).toContain("Its parent's: apache-2.0.");
    expect(card).not.toMatch(/undefined|NaN/);
  });

  test('says so where nothing is known of the parent, nothing was fitted and nothing trained', () => {
    const bare = { ...report, r2: [], healing: undefined, sharedPairs: 0, share: undefined, layers: [1] };
    const card = modelCard(bare, { name: 'a folder', license: {} }, 'shishu-llama');
    expect(cardHeader(card)).toEqual({ pipeline_tag: 'text-generation', library_name: 'transformers' });
    expect(card).toContain('from block 1 (');
    expect(card).toContain('Nothing stands in its place.');
    expect(card).toContain('It was not trained afterwards.');
    expect(card).not.toContain('trust_remote_code');
    expect(card).toContain("whose files don't name one");
    expect(card).not.toMatch(/undefined|NaN/);
  });

  test('has every healing, the first one first', () => {
    const earlier = [
      { ...report.healing!, tokens: 2000 },
      { ...report.healing!, tokens: 1000 },
    ];
    const card = modelCard({ ...report, healing: { ...report.healing!, earlier } }, parent, 'shishu');
    const trained = [...card.matchAll(/It was trained .*?, (\d+) tokens/g)].map(([, tokens]) => tokens);
    expect(trained).toEqual(['1000', '2000', '30000']);
  });

  test('values of a header that are code in YAML stay text', () => {
    const odd = 'mit\n- "x": [1]';
    const card = modelCard(report, { name: 'x', license: { license: odd } }, 'shishu');
    expect(card).toContain(`license: ${JSON.stringify(odd)}\n`);
  });
});

describe('what is known of a parent', () => {
  const card = [
    '---',
    'license: other',
    "license_name: 'some-license'",
    'license_link: "https://example.com/LICENSE"',
    'base_model:',
    '- owner/base',
    'tags: [a, b]',
    '---',
    'license: mit',
  ].join('\n');

  test('is its licence, in the header of its card', async () => {
    const facts = await parentFacts(memorySource({ 'README.md': card }));
    expect(facts.license).toEqual({
      license: 'other',
      license_name: 'some-license',
      license_link: 'https://example.com/LICENSE',
    });
  });

  test.each([
    ['no card', {}],
    ['a card without a header', { 'README.md': 'license: mit' }],
    ['a header that does not end', { 'README.md': '---\nlicense: mit\n' }],
    ['a licence that is a list', { 'README.md': '---\nlicense: [mit]\n---\n' }],
    ['bytes that are no text', { 'README.md': Uint8Array.from([255, 254, 0, 1]) }],
  ])('is nothing of %s', async (_, files) => {
    expect((await parentFacts(memorySource(files as Record<string, string>))).license).toEqual({});
  });

  test('is nothing where its card cannot be fetched', async () => {
    const offline = { ...memorySource({}), read: () => Promise.reject(new Error('offline')) };
    expect((await parentFacts(offline)).license).toEqual({});
  });

  test.each([
    ['https://hub.example/owner/name/resolve/main/', 'owner/name'],
    ['https://hub.example/owner/name/resolve/refs%2Fpr%2F1/', 'owner/name'],
    ['https://example.com/models/parent/', undefined],
    ['/home/somebody/owner/name', undefined],
    ['the folder model', undefined],
  ])('the repository of %s is %s', (address, repository) => {
    expect(repositoryOf(address)).toBe(repository);
  });

  test('a folder of this machine is named by its last part alone', async () => {
    const named = (name: string) => parentFacts({ ...memorySource({}), name });
    expect((await named('/home/somebody/models/SmolLM2/')).name).toBe('SmolLM2');
    expect((await named('C:\\models\\SmolLM2')).name).toBe('SmolLM2');
    expect((await named('https://hub.example/owner/name/resolve/main/')).name).toBe('owner/name');
  });
});
