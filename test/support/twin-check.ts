// What a launch left, against its CPU twin: every number that it may write, and every byte that it must not.
import { expect } from 'vitest';
import { Ledger, readBuffer } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { ShaderSpec, StepShape, TwinLaunch } from '../../src/gpu/kernel.ts';
import { type Dispatch, encode, Recorder } from '../../src/gpu/recorder.ts';
import { all, mismatches, placesOf, twinLaunch } from '../../src/kernels/twin.ts';
import type { KernelCase } from './kernel-cases.ts';

/** Largest error as a share of a result's scale. */
const TOLERANCE = 2e-5;

/** Bytes of each binding. */
export type Held = Map<string, Uint8Array<ArrayBuffer>>;

/** The bytes that a launch may have changed, by binding. */
function touched(shader: ShaderSpec, launch: TwinLaunch, held: Held): Map<string, Uint8Array> {
  const may = new Map([...held].map(([name, { length }]) => [name, new Uint8Array(length)]));
  for (const result of shader.kernel.cpu(launch))
    for (const { binding, at, size } of placesOf(shader, result)) may.get(binding)!.fill(1, at, at + size);
  return may;
}

/** Asserts what a launch left; `launch` reads `before`. */
export function expectTwin(
  shader: ShaderSpec,
  launch: TwinLaunch,
  before: Held,
  after: Held,
  label: string,
): void {
  const bytes = (held: Held, name: string, at: number, size: number): ArrayBuffer =>
    held.get(name)!.buffer.slice(at, at + size);
  const wrong = mismatches(
    shader,
    launch,
    ({ binding, at, size }) => bytes(after, binding, at, size),
    TOLERANCE,
  );
  for (const { binding, at, found, value, scale } of wrong)
    expect.fail(`${label}: ${binding}[${at}] is ${found}, not ${value} (of ${scale}).`);
  const may = touched(shader, launch, before);
  for (const [name, now] of after) {
    const was = before.get(name)!;
    const odd = now.findIndex((byte, i) => byte !== was[i] && !may.get(name)![i]);
    expect(odd, `${label}: first byte of ${name} that is written and should not be`).toBe(-1);
  }
}

async function heldBy(gpu: Gpu, { bind, pipeline }: Dispatch): Promise<Held> {
  const held: Held = new Map();
  for (const { name, access } of pipeline.bindings) {
    const { buffer, offset, size } = bind[name]!;
    if (access !== 'uniform') held.set(name, new Uint8Array(await readBuffer(gpu, buffer, offset, size)));
  }
  return held;
}

/** Runs launches one by one, each against its twin. */
export async function runTwins(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  step: StepShape,
  uniforms: Held = new Map(),
): Promise<void> {
  for (const dispatch of dispatches) {
    if (!dispatch.grid(step)) continue;
    const { shader, items, label } = dispatch;
    const before = await heldBy(gpu, dispatch);
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass, [dispatch], step);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    const bytes: TwinLaunch['bytes'] = (name, at, size) =>
      (before.get(name) ?? uniforms.get(name)!).buffer.slice(at, at + size);
    const launch = twinLaunch(shader, { step, items, bytes, pick: all });
    expectTwin(shader, launch, before, await heldBy(gpu, dispatch), label);
  }
}

/** Runs a case against its twin, which may be told another step. */
export async function runCase(
  gpu: Gpu,
  { label, spec, launch, before }: KernelCase,
  step = launch.step,
): Promise<void> {
  const ledger = new Ledger(gpu);
  const bind = Object.fromEntries(
    spec.kernel.bindings(launch).map(({ name, access }) => {
      const data = before.get(name)!;
      const usage =
        access === 'uniform' ? GPUBufferUsage.UNIFORM : GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
      const buffer = ledger.buffer(name, data.length, 'scratch', usage | GPUBufferUsage.COPY_DST);
      gpu.device.queue.writeBuffer(buffer, 0, data);
      return [name, buffer];
    }),
  );
  const recorder = new Recorder(gpu);
  recorder.add({ label, shader: spec, bind, items: launch.items });
  await runTwins(gpu, await recorder.finish(), step, before);
  ledger.releaseAll();
}
