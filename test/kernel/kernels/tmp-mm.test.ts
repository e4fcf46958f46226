import { appendFileSync } from 'node:fs';
import { afterAll, test } from 'vitest';
import { Ledger } from '../../../src/gpu/buffer.ts';
import { openGpu } from '../../../src/gpu/device.ts';
import type { Fixed } from '../../../src/gpu/kernel.ts';
import { Recorder } from '../../../src/gpu/recorder.ts';
import { MATMUL } from '../../../src/kernels/matmul.ts';
import { defaultLimitsDevice } from '../../support/gpu-features.ts';
import { covering, type KernelCase, kernelCases } from '../../support/kernel-cases.ts';
import { runTwins } from '../../support/twin-check.ts';

const device = await defaultLimitsDevice();
const gpu = await openGpu({ device });
afterAll(() => device.destroy());
const log = (text: string) => appendFileSync('/tmp/mm/run.log', `${text}\n`);
log(`${JSON.stringify(gpu.features)} ${JSON.stringify(gpu.subgroupSize)}`);

async function run({ label, spec, launch, before }: KernelCase): Promise<void> {
  const ledger = new Ledger(gpu);
  const bind = Object.fromEntries(
    spec.kernel.bindings(launch).map(({ name, access }) => {
      const data = before.get(name)!;
      const usage =
        access === 'uniform' ? GPUBufferUsage.UNIFORM : GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
      const buffer = ledger.buffer(name, data.length, 'scratch', usage | GPUBufferUsage.COPY_DST);
      device.queue.writeBuffer(buffer, 0, data);
      return [name, buffer];
    }),
  );
  const recorder = new Recorder(gpu);
  recorder.add({ label, shader: spec, bind, items: launch.items });
  const t = performance.now();
  const list = await recorder.finish();
  const t2 = performance.now();
  await runTwins(gpu, list, launch.step, before);
  log(`compile ${Math.round(t2 - t)} run ${Math.round(performance.now() - t2)}`);
  ledger.releaseAll();
}

test('mm', async () => {
  const some = covering(MATMUL, { pairs: false, fits: () => true });
  const order = process.env.MM ? process.env.MM.split(',').map(Number) : some.map((_, i) => i);
  for (const i of order) {
    const fixed: Fixed = some[i]!;
    log(`${i} ${JSON.stringify(fixed)}`);
    for (const one of kernelCases(MATMUL, fixed, i)) {
      try {
        await run(one);
        log('ok');
      } catch (error) {
        log(`FAILED ${(error as Error).message.slice(0, 300)}`);
      }
    }
  }
}, 600_000);
