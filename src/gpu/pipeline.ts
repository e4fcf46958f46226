import { ShishuError } from '../errors.ts';
import { checkDeclared } from './kernel.ts';
import { type ShaderSpec, type ShaderText, shaderText } from './shader.ts';

/** A compiled kernel. */
export interface Pipeline {
  readonly label: string;
  readonly handle: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Binding number of each variable of group 0. */
  readonly bindings: ReadonlyMap<string, number>;
}

const DECLARATION =
  /@group\(0\)\s*@binding\((\d+)\)\s*var<(storage, ?read_write|storage, ?read|uniform)>\s*(\w+)/g;

const KINDS: Record<string, GPUBufferBindingType> = {
  'storage,read': 'read-only-storage',
  'storage,read_write': 'storage',
  uniform: 'uniform',
};

/** Compiles each distinct shader text once for a device, however many models share it. */
export class PipelineCache {
  static readonly #ofDevice = new WeakMap<GPUDevice, PipelineCache>();
  readonly #device: GPUDevice;
  readonly #serial: boolean;
  readonly #made = new Map<string, Promise<Pipeline>>();
  #last: Promise<unknown> = Promise.resolve();

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
    const text = shaderText(spec);
    let made = this.#made.get(text.code);
    if (!made) {
      const compile = (): Promise<Pipeline> => this.#compile(spec.kernel.name, text);
      made = this.#serial ? this.#last.then(compile, compile) : compile();
      this.#last = made;
      this.#made.set(text.code, made);
    }
    return made;
  }

  async #compile(label: string, { code, origins }: ShaderText): Promise<Pipeline> {
    const device = this.#device;
    const bindings = new Map<string, number>();
    const entries: GPUBindGroupLayoutEntry[] = [];
    for (const [, number, kind, name] of code.matchAll(DECLARATION)) {
      bindings.set(name!, Number(number));
      entries.push({
        binding: Number(number),
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: KINDS[kind!.replace(' ', '')]! },
      });
    }
    const module = device.createShaderModule({ label, code });
    const layout = device.createBindGroupLayout({ label, entries });
    try {
      const handle = await device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
      return { label, handle, layout, bindings };
    } catch (cause) {
      const { messages } = await module.getCompilationInfo();
      const said = messages
        .filter((message) => message.type === 'error')
        .map((message) => `${origins[message.lineNum - 1] ?? label}: ${message.message}`);
      throw new ShishuError('shader', `Shader ${label} failed: ${said.join('; ') || String(cause)}.`, {
        details: { shader: label, messages: said },
        cause,
      });
    }
  }
}
