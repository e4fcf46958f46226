import { MessageChannel, type MessagePort, Worker as NodeWorker } from 'node:worker_threads';

// jax-js's wasm backend shares its work among web workers, which Node does not have: it would use one thread.
// This gives it a `Worker` for that one use: the first "worker" runs on the main thread, the others are Node
// threads that wait on shared memory, so that a kernel costs no message. Control words of a thread (Int32):
const SEQUENCE = 0; // of the newest job
const DONE = 1; // sequence of the newest job done
const KERNEL = 2; // id of its kernel, -1 to quit
const FROM = 3;
const TO = 4;
const COUNT = 5; // pointers
const FAILED = 6;
const POINTERS = 8;

/** How often a thread looks for a job before it sleeps. */
const SPINS = 20_000;

const THREAD = `
const { workerData, receiveMessageOnPort } = require('node:worker_threads');
const { control, port, memory } = workerData;
const c = new Int32Array(control);
const kernels = [];
let last = 0;
for (;;) {
  for (let spins = 0; Atomics.load(c, ${SEQUENCE}) === last && spins < ${SPINS}; spins++);
  if (Atomics.load(c, ${SEQUENCE}) === last) { Atomics.wait(c, ${SEQUENCE}, last); continue; }
  last = Atomics.load(c, ${SEQUENCE});
  const id = c[${KERNEL}];
  if (id < 0) break;
  while (!kernels[id]) {
    const sent = receiveMessageOnPort(port);
    if (sent) kernels[sent.message.id] =
      new WebAssembly.Instance(sent.message.module, { env: { memory } }).exports.kernel;
  }
  const pointers = Array.from({ length: c[${COUNT}] }, (_, i) => c[${POINTERS} + i] >>> 0);
  try { kernels[id](...pointers, c[${FROM}], c[${TO}]); c[${FAILED}] = 0; } catch { c[${FAILED}] = 1; }
  Atomics.store(c, ${DONE}, last);
}`;

type Kernel = (...numbers: number[]) => void;
type Routine = (name: unknown, inputs: Uint8Array[], outputs: Uint8Array[]) => void;

/** What jax-js posts to its workers. */
type Message =
  | { type: 'init'; memory: WebAssembly.Memory }
  | { type: 'routine'; routine: unknown; inputs: Span[]; outputs: Span[] }
  | {
      type: 'kernel';
      kernelHash: unknown;
      module: WebAssembly.Module;
      ptrs: number[];
      begin: number;
      end: number;
    };
interface Span {
  ptr: number;
  size: number;
}

let installed = false;

/** Lets jax-js use `threads` threads in Node. Call it once, before jax starts; with fewer than 2 it does nothing. */
export function useThreads(threads: number): void {
  if (threads < 2 || installed) return;
  installed = true;
  const PlainBlob = globalThis.Blob;
  let workerSource = '';
  globalThis.Blob = class extends PlainBlob {
    constructor(parts?: ConstructorParameters<typeof Blob>[0], options?: BlobPropertyBag) {
      super(parts, options);
      if (typeof parts?.[0] === 'string') workerSource = parts[0];
    }
  };
  let memory: WebAssembly.Memory;
  let routine: Routine | undefined;
  let workerCount = 0;
  const ids = new Map<unknown, number>();
  const kernels: Kernel[] = [];
  const busy: PoolWorker[] = [];
  const idOf = (hash: unknown): number => {
    if (!ids.has(hash)) ids.set(hash, ids.size);
    return ids.get(hash)!;
  };
  const bytesAt = ({ ptr, size }: Span): Uint8Array => new Uint8Array(memory.buffer, ptr, size);
  /** jax-js's own code for operations without a kernel (such as sorting), taken from its worker's source. */
  const runRoutine: Routine = (...call) => {
    const body = workerSource.slice(0, workerSource.indexOf('let memory = null'));
    routine ??= new Function(`${body};return __minify_safe_runCpuRoutine`)() as Routine;
    routine(...call);
  };

  class PoolWorker {
    onmessage: (event: { data: object }) => void = () => {};
    readonly #index = workerCount++;
    readonly #sent = new Set<number>();
    #sequence = 0;
    #thread: NodeWorker | undefined;
    #port: MessagePort | undefined;
    #control = new Int32Array(new SharedArrayBuffer(1024));

    postMessage(message: Message): void {
      if (message.type === 'init') this.#start(message.memory);
      else if (this.#index > 0 && message.type === 'kernel') this.#dispatch(message);
      else queueMicrotask(() => this.#runOnMain(message));
    }

    #start(shared: WebAssembly.Memory): void {
      memory = shared;
      if (this.#index > 0) {
        const { port1, port2 } = new MessageChannel();
        this.#port = port1;
        port1.unref();
        this.#thread = new NodeWorker(THREAD, {
          eval: true,
          workerData: { control: this.#control.buffer, port: port2, memory },
          transferList: [port2],
        });
        this.#thread.unref();
      }
      queueMicrotask(() => this.onmessage({ data: { type: 'ready' } }));
    }

    #dispatch({ kernelHash, module, ptrs, begin, end }: Extract<Message, { type: 'kernel' }>): void {
      const id = idOf(kernelHash);
      if (!this.#sent.has(id)) {
        this.#sent.add(id);
        this.#port!.postMessage({ id, module });
      }
      this.#control.set([id, begin, end, ptrs.length], KERNEL);
      this.#control.set(ptrs, POINTERS);
      this.#sequence = (this.#sequence + 1) | 0;
      Atomics.store(this.#control, SEQUENCE, this.#sequence);
      Atomics.notify(this.#control, SEQUENCE);
      busy.push(this);
    }

    /** Runs the main thread's share, then waits for the other threads, whose shares were dispatched before. */
    #runOnMain(message: Exclude<Message, { type: 'init' }>): void {
      let data: object = { type: 'done', ok: true };
      try {
        if (message.type === 'routine')
          runRoutine(message.routine, message.inputs.map(bytesAt), message.outputs.map(bytesAt));
        else {
          const id = idOf(message.kernelHash);
          kernels[id] ??= new WebAssembly.Instance(message.module, { env: { memory } }).exports
            .kernel as Kernel;
          kernels[id](...message.ptrs, message.begin, message.end);
        }
      } catch (error) {
        data = { type: 'done', ok: false, error: String(error) };
      }
      for (const worker of busy.splice(0)) worker.#finish();
      this.onmessage({ data });
    }

    #finish(): void {
      while (Atomics.load(this.#control, DONE) !== this.#sequence);
      const ok = this.#control[FAILED] === 0;
      this.onmessage({ data: { type: 'done', ok, error: 'A kernel failed on a thread.' } });
    }

    terminate(): void {
      if (!this.#thread) return;
      this.#control[KERNEL] = -1;
      Atomics.add(this.#control, SEQUENCE, 1);
      Atomics.notify(this.#control, SEQUENCE);
    }
  }
  const define = (name: string, value: unknown): void => {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  };
  define('Worker', PoolWorker);
  // jax-js asks the navigator how many threads there are; what else is in it (gpu) stays.
  define(
    'navigator',
    Object.assign(Object.create(globalThis.navigator ?? null), { hardwareConcurrency: threads }),
  );
}
