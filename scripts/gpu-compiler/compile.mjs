// A process under the driver of a GPU that is not there (see driver.ts). Answers first with the adapter, then each text of a
// shader with what the driver's compiler made of it. $GPU_COMPILER_OUT and $GPU_COMPILER_ASM are where the layer (layer.c) writes.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const { GPU_COMPILER_OUT: out = '', GPU_COMPILER_ASM: folder = '' } = process.env;
const answer = (/** @type {object} */ message) => process.send?.(message);

const instance = create([]);
// Dawn's objects are gone with the instance that made them.
Object.assign(globalThis, { instance });
const adapter = await instance.requestAdapter();
if (!adapter) throw new Error('The driver has no adapter.');
const wanted = /** @type {GPUFeatureName[]} */ (['shader-f16', 'subgroups']);
const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
// As the engine asks: the sizes of buffers are the adapter's, all other limits WebGPU's defaults.
const device = await adapter.requestDevice({
  requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)),
  requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
});

/** What the layer said of the pipeline that was just made. */
function said() {
  const statistics = JSON.parse(readFileSync(out, 'utf8').trim().split('\n').at(-1) ?? '');
  rmSync(out);
  const file = join(folder, `${statistics.assembly}.s`);
  const assembly = statistics.assembly < 0 ? '' : readFileSync(file, 'utf8');
  rmSync(file, { force: true });
  return { statistics, assembly };
}

process.on('message', async (/** @type {string} */ code) => {
  const module = device.createShaderModule({ code });
  try {
    await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    answer(said());
  } catch (error) {
    const { messages } = await module.getCompilationInfo();
    const errors = messages.filter(({ type }) => type === 'error');
    const text = errors.map(({ lineNum, message }) => `line ${lineNum}: ${message}`).join('; ');
    answer({ error: text || String(/** @type {Error} */ (error).message) });
  }
});

answer({
  adapter: {
    features: { f16: adapter.features.has('shader-f16'), subgroups: adapter.features.has('subgroups') },
    subgroupSize: { min: adapter.info.subgroupMinSize, max: adapter.info.subgroupMaxSize },
    binding: maxStorageBufferBindingSize,
    description: adapter.info.description,
  },
});
