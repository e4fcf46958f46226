import { ShishuError } from '../errors.ts';
import { askedOf, type Binding, checkDeclared, type ShaderSpec } from './kernel.ts';
import { readShader, type ShaderText } from './shader.ts';

/** A compiled kernel. */
export interface Pipeline {
  readonly label: string;
  readonly handle: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Variables of group 0, by their numbers. */
  readonly bindings: readonly Binding[];
}

const KINDS: Record<Binding['access'], GPUBufferBindingType> = {
  read: 'read-only-storage',
  read_write: 'storage',
  uniform: 'uniform',
};

/** A kernel's text does not compile on a device. */
export class PipelineError extends ShishuError {
  readonly spec: ShaderSpec;

  constructor(spec: ShaderSpec, messages: readonly string[], cause: unknown) {
    const { name } = spec.kernel;
    super('shader', `Shader ${name} failed: ${messages.join('; ') || String(cause)}.`, {
      details: { shader: name, messages },
      cause,
    });
    this.spec = spec;
  }
}

/** Compiles each distinct shader text once for a device, however many models share it. */
export class PipelineCache {
  static readonly #ofDevice = new WeakMap<GPUDevice, PipelineCache>();
  readonly #device: GPUDevice;
  readonly #serial: boolean;
  readonly #made = new Map<string, Promise<Pipeline>>();
  #last: Promise<unknown> = Promise.resolve();
  readonly #watchers = new Set<(event: 'begun' | 'ended') => void>();

  /** @param serial compile one after the other: a software driver's compiler can hang when asked for several at once. */
  static of(device: GPUDevice, serial: boolean): PipelineCache {
    const cache = PipelineCache.#ofDevice.get(device) ?? new PipelineCache(device, serial);
    PipelineCache.#ofDevice.set(device, cache);
    return cache;
  }

  private constructor(device: GPUDevice, serial: boolean) {
    this.#device = device;
    this.#serial = serial;
  }

  /** @throws ShishuError `shader` for what its kernel does not declare, and with file and line when the text does not compile */
  async get(spec: ShaderSpec): Promise<Pipeline> {
    checkDeclared(spec);
    const text = await readShader(spec);
    let made = this.#made.get(text.code);
    if (!made) {
      const compile = (): Promise<Pipeline> => this.#compile(spec, text);
      made = this.#serial ? this.#last.then(compile, compile) : compile();
      this.#last = made;
      this.#made.set(text.code, made);
      this.#tell('begun');
      const ended = (): void => this.#tell('ended');
      // What a watcher throws is not the kernel's failure.
      made.then(ended, ended).catch(() => {});
    }
    return made;
  }

  #tell(event: 'begun' | 'ended'): void {
    for (const watcher of this.#watchers) watcher(event);
  }

  /**
   * Tells how many kernels were compiled from now on, of those that were asked for from now on.
   * @returns ends that
   */
  watch(on: (count: { compiled: number; total: number }) => void): () => void {
    let compiled = 0;
    let total = 0;
    const watcher = (event: 'begun' | 'ended'): void => {
      if (event === 'begun') total++;
      // What had begun before is not counted.
      else if (compiled < total) compiled++;
      on({ compiled, total });
    };
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  async #compile(spec: ShaderSpec, { code, origins }: ShaderText): Promise<Pipeline> {
    const device = this.#device;
    const label = spec.kernel.name;
    const bindings = spec.kernel.bindings(askedOf(spec));
    const entries = bindings.map(
      ({ access }, binding): GPUBindGroupLayoutEntry => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: KINDS[access] },
      }),
    );
    // What is wrong with the text is told by the pipeline too, and need not be told twice.
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label, code });
    const layout = device.createBindGroupLayout({ label, entries });
    const made = device.createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    });
    device.popErrorScope().catch(() => {});
    try {
      return { label, handle: await made, layout, bindings };
    } catch (cause) {
      const { messages } = await module.getCompilationInfo();
      const said = messages
        .filter((message) => message.type === 'error')
        .map((message) => `${origins[message.lineNum - 1] ?? label}: ${message.message}`);
      throw new PipelineError(spec, said, cause);
    }
  }
}
