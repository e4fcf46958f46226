// What the formats of weights cost: bits a weight, how fast values become them at load, and how fast a projection of one token
// reads them. node scripts/measure-formats.mjs [--adapter NAME]
import { parseArgs } from 'node:util';
import { createServer } from 'vite';

const { values } = parseArgs({ options: { adapter: { type: 'string' } } });
const [rows, cols] = [1536, 1536];
const GB = 1e9;

const server = await createServer({
  server: { middlewareMode: true },
  appType: 'custom',
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
});
/** @param {string} path */
const load = (path) => server.ssrLoadModule(path);
const { VALUE_FORMATS, FORMATS } = await load('/src/quant/index.ts');
const { Ledger } = await load('/src/gpu/buffer.ts');
const { Recorder, encode, writeStep } = await load('/src/gpu/recorder.ts');
const { rowBytes } = await load('/src/kernels/tensor.ts');
const { project } = await load('/src/kernels/project.ts');
const { defaultTuning } = await load('/src/kernels/tuning.ts');
const { openGpu } = await load('/src/gpu/device.ts');
const { provideGpu } = await load('/src/cli/gpu.ts');

await provideGpu(values.adapter);
const gpu = await openGpu();
const ledger = new Ledger(gpu);
const step = { rows: 1, first: 0, count: 1, next: 0, context: 1 };

/**
 * The least time of several, in seconds.
 * @param {() => unknown} work
 */
async function timed(work, times = 9) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const begun = performance.now();
    await work();
    least = Math.min(least, performance.now() - begun);
  }
  return least / 1000;
}

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const weights = Float32Array.from({ length: rows * cols }, () => 0.03 * normal());
const x = { buffer: ledger.from('x', new Float32Array(cols).fill(1), 'scratch'), cols };
const out = { buffer: ledger.storage('out', 4 * rows, 'scratch'), cols: rows };
const uniform = ledger.buffer('step', 16, 'scratch', GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
writeStep(gpu, uniform, step);

console.log(`${rows} x ${cols}, ${gpu.name}\n`);
console.log(
  '| format | bits a weight | packed, GB/s of f32 | read by a projection of one token, GB/s | us |',
);
console.log('|---|---:|---:|---:|---:|');
for (const [dtype, format] of Object.entries(FORMATS)) {
  const size = rowBytes(dtype, cols);
  const bytes = rows * (size.codes + size.scales);
  const packs = VALUE_FORMATS[dtype] && (await timed(() => format.encode(weights, cols)));
  const packed = packs && format.encode(weights, cols);
  const part = {
    dtype,
    row0: 0,
    rows,
    codes: ledger.storage('codes', rows * size.codes, 'weights'),
    scales: size.scales ? ledger.storage('scales', rows * size.scales, 'weights') : undefined,
    vectors: undefined,
  };
  if (packed) {
    gpu.device.queue.writeBuffer(part.codes, 0, packed.codes);
    if (packed.scales) gpu.device.queue.writeBuffer(part.scales, 0, packed.scales);
  }
  const recorder = new Recorder(gpu);
  project(gpu, defaultTuning(gpu), recorder, {
    label: dtype,
    x,
    weight: { rows, cols, parts: [part], hasGain: false, hasBias: false },
    out: { kind: 'plain', to: out, residual: true },
    width: 'one',
    step: uniform,
  });
  const launches = await recorder.finish();
  const seconds = await timed(async () => {
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < 32; i++) encode(pass, launches, step);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    await gpu.device.queue.onSubmittedWorkDone();
  });
  const rate = packs > 1e-4 ? (weights.byteLength / packs / GB).toFixed(2) : '';
  const read = (32 * bytes) / seconds / GB;
  const us = ((seconds / 32) * 1e6).toFixed(0);
  console.log(
    `| ${dtype} | ${((8 * bytes) / (rows * cols)).toFixed(3)} | ${rate} | ${read.toFixed(2)} | ${us} |`,
  );
}
ledger.releaseAll();
gpu.close();
await server.close();
process.exit(0);
