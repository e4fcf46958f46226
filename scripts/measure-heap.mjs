// How much of the page's memory loading takes: a checkpoint of 270 MB in the shape of SmolLM2-135M, made up, served by this
// machine and loaded in Chromium, past the cache, into it and from it. `npm run measure:heap`, or with `-- --dtype q8`.
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright';
import { createServer } from 'vite';
import { chromiumArgs, findBrowser } from './find-browser.mjs';

const LIMIT = 64 * 2 ** 20;
const { values } = parseArgs({ options: { dtype: { type: 'string', default: 'f16' } } });

const shape = { hidden: 576, width: 1536, layers: 30, heads: 9, kvHeads: 3, headDim: 64, vocab: 49152 };
const config = {
  model_type: 'llama',
  hidden_size: shape.hidden,
  intermediate_size: shape.width,
  num_hidden_layers: shape.layers,
  num_attention_heads: shape.heads,
  num_key_value_heads: shape.kvHeads,
  vocab_size: shape.vocab,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  hidden_act: 'silu',
  tie_word_embeddings: true,
};
const tokenizer = {
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: { type: 'Fuse' },
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [String.fromCharCode(33 + i), i])),
    merges: [],
    unk_token: null,
    fuse_unk: false,
    byte_fallback: false,
  },
};

/** @returns {[string, number[]][]} */
function tensors() {
  const { hidden, width, layers, heads, kvHeads, headDim, vocab } = shape;
  const blocks = Array.from({ length: layers }, (_, layer) => {
    const at = `model.layers.${layer}`;
    return /** @type {[string, number[]][]} */ ([
      [`${at}.input_layernorm.weight`, [hidden]],
      [`${at}.self_attn.q_proj.weight`, [heads * headDim, hidden]],
      [`${at}.self_attn.k_proj.weight`, [kvHeads * headDim, hidden]],
      [`${at}.self_attn.v_proj.weight`, [kvHeads * headDim, hidden]],
      [`${at}.self_attn.o_proj.weight`, [hidden, heads * headDim]],
      [`${at}.post_attention_layernorm.weight`, [hidden]],
      [`${at}.mlp.gate_proj.weight`, [width, hidden]],
      [`${at}.mlp.up_proj.weight`, [width, hidden]],
      [`${at}.mlp.down_proj.weight`, [hidden, width]],
    ]);
  });
  return [['model.embed_tokens.weight', [vocab, hidden]], ...blocks.flat(), ['model.norm.weight', [hidden]]];
}

/** Writes the checkpoint; every tensor repeats the same BF16 numbers. @param {string} path */
async function writeWeights(path) {
  let end = 0;
  const entries = tensors().map(([name, dims]) => {
    const start = end;
    end += 2 * dims.reduce((a, b) => a * b, 1);
    return [name, { dtype: 'BF16', shape: dims, data_offsets: [start, end] }];
  });
  const text = JSON.stringify(Object.fromEntries(entries));
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  // Sign, and an exponent that makes numbers of 0.01 to 0.06.
  const piece = Uint16Array.from(
    { length: 1 << 20 },
    (_, i) => ((i * 2654435761) & 0x8000) | (0x3c00 + ((i * 40503) & 0x1ff)),
  );
  const file = await open(path, 'w');
  await file.writev([size, header]);
  for (let left = end; left > 0; left -= piece.byteLength)
    await file.write(new Uint8Array(piece.buffer, 0, Math.min(left, piece.byteLength)));
  await file.close();
  return size.length + header.length + end;
}

const folder = await mkdtemp(join(tmpdir(), 'heap-'));
const weights = join(folder, 'model.safetensors');
const bytes = await writeWeights(weights);
await writeFile(join(folder, 'config.json'), JSON.stringify(config));
await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
/** @type {Record<string, { path: string, size: number }>} */
const served = {
  'model.safetensors': { path: weights, size: bytes },
  'config.json': { path: join(folder, 'config.json'), size: JSON.stringify(config).length },
  'tokenizer.json': {
    path: join(folder, 'tokenizer.json'),
    size: Buffer.byteLength(JSON.stringify(tokenizer)),
  },
};

const server = await createServer({
  configFile: false,
  root: join(import.meta.dirname, '..'),
  logLevel: 'error',
  server: { port: 0, host: '127.0.0.1', hmr: false, watch: null },
  optimizeDeps: { entries: ['src/index.ts'], include: ['@huggingface/tokenizers', '@huggingface/jinja'] },
});
server.middlewares.stack.unshift({
  route: '',
  handle: (
    /** @type {import('node:http').IncomingMessage} */ request,
    /** @type {import('node:http').ServerResponse} */ response,
    /** @type {() => void} */ next,
  ) => {
    const path = request.url?.split('?')[0] ?? '';
    if (path === '/heap.html')
      return response
        .writeHead(200, { 'Content-Type': 'text/html' })
        .end(
          "<script type=module>import { loadModel } from '/src/index.ts'; globalThis.loadModel = loadModel;</script>",
        );
    if (!path.startsWith('/heap-model/')) return next();
    const file = served[path.slice('/heap-model/'.length)];
    if (!file) return response.writeHead(404).end();
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = to ? Math.min(Number(to) + 1, file.size) : file.size;
    response.writeHead(from === undefined ? 200 : 206, {
      ETag: '"1"',
      'Content-Length': end - start,
      ...(from !== undefined && { 'Content-Range': `bytes ${start}-${end - 1}/${file.size}` }),
    });
    createReadStream(file.path, { start, end: end - 1 })
      .on('error', () => response.destroy())
      .pipe(response);
  },
});
await server.listen();
const address = server.resolvedUrls?.local[0];

const browser = await chromium.launch({ executablePath: await findBrowser(), args: chromiumArgs });
const context = await browser.newContext();
const mb = (/** @type {number} */ n) => `${(n / 2 ** 20).toFixed(1)} MiB`;
let over = 0;
try {
  console.log(
    `A checkpoint of ${bytes} bytes (BF16), loaded as ${values.dtype}; memory of the page's JavaScript:`,
  );
  for (const [name, cache] of /** @type {[string, boolean][]} */ ([
    ['without the cache', false],
    ['into the cache', true],
    ['from the cache', true],
  ])) {
    const page = await context.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.goto(`${address}heap.html`);
    await page.waitForFunction('globalThis.loadModel');
    const session = await context.newCDPSession(page);
    const used = async () => {
      const usage = /** @type {Record<string, number>} */ (
        /** @type {unknown} */ (await session.send('Runtime.getHeapUsage'))
      );
      const { usedSize = 0, backingStorageSize } = usage;
      if (backingStorageSize === undefined)
        throw new Error('This browser does not tell the size of buffers.');
      return usedSize + backingStorageSize;
    };
    await session.send('HeapProfiler.collectGarbage');
    const idle = await used();
    let loading = true;
    const load = page
      .evaluate(
        async ({ cache, dtype }) => {
          // @ts-expect-error: put there by the page
          const model = await loadModel(new URL('/heap-model/', location.href), {
            cache,
            dtype,
            contextLength: 256,
          });
          const { selfTest, bytes } = model.info;
          await model.dispose();
          return { selfTest, bytes };
        },
        { cache, dtype: values.dtype },
      )
      .finally(() => {
        loading = false;
      });
    load.catch(() => {});
    let peak = 0;
    let samples = 0;
    while (loading) {
      peak = Math.max(peak, await used());
      samples++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { selfTest, bytes: taken } = await load;
    over = Math.max(over, peak - idle);
    console.log(
      `${name.padEnd(18)} idle ${mb(idle)}, peak ${mb(peak)}, over ${mb(peak - idle)} ` +
        `(${samples} samples; ${mb(taken.total)} on the GPU; self-test: ${selfTest.kernels}, ${selfTest.ms.toFixed(0)} ms)`,
    );
    await page.close();
  }
} finally {
  await browser.close();
  await server.close();
  await rm(folder, { recursive: true });
}
console.log(over > LIMIT ? `More than ${mb(LIMIT)} over idle.` : `At most ${mb(LIMIT)} over idle.`);
process.exitCode = over > LIMIT ? 1 : 0;
