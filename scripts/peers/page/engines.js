// @ts-nocheck: the modules that it imports are where the other engines are installed.
// What a page does with each engine: load it, run a prompt, decode at a position. Runs in the browser; the modules come from
// the server of run.mjs. Each is used as its own documentation shows it.

const now = () => performance.now();

/** Tokens that come after those that do not count, until there are enough or the time is over. */
class Clock {
  /** @param {{ steps: number, limitMs: number }} how */
  constructor({ steps, limitMs }) {
    this.steps = steps;
    this.limitMs = limitMs;
    this.skip = Math.min(3, steps);
    /** @type {number[]} */
    this.times = [];
  }
  /** Another token is there; true when no more are wanted. The first two steps may carry uploads, or come two at once. */
  tick() {
    this.times.push(now());
    const counted = this.times.length - this.skip;
    return counted > this.steps || (counted > 1 && this.times.at(-1) - this.times[0] > this.limitMs);
  }
  result() {
    const from = this.times[this.skip - 1];
    const steps = this.times.length - this.skip;
    if (steps < 1) throw new Error('The engine gave too few tokens.');
    return { ms: (this.times.at(-1) - from) / steps, steps };
  }
}

/** Ids that no text would give: their values change no time. One beginning for every length. @param {number} count */
const idsOf = (count) =>
  Array.from({ length: count }, (_, i) => 1000 + ((Math.imul(i + 1, 2654435761) >>> 8) % 40000));

/** @param {{ model: string, contextLength: number }} options */
async function shishulm({ model, contextLength }) {
  const { loadModel } = await import('shishulm');
  const loaded = await loadModel(new URL(model, location.href), { cache: false, contextLength });
  const run = (ids, options) => loaded.generate(ids, { ignoreEos: true, ...options });
  return {
    about: { kernels: loaded.info.kernels, gpuBytes: loaded.info.bytes.total, dtype: loaded.info.dtype },
    async prompt(count) {
      await loaded.reset();
      const begun = now();
      for await (const _ of run(idsOf(count), { maxTokens: 1 })) break;
      return now() - begun;
    },
    /** Positions before this one run once; the engine keeps them. */
    async reach(position) {
      for await (const _ of run(idsOf(position), { maxTokens: 1 }));
    },
    async decode(position, how) {
      const clock = new Clock(how);
      const reply = run(idsOf(position), { maxTokens: clock.skip + how.steps + 1 });
      for await (const _ of reply) if (clock.tick()) break;
      return clock.result();
    },
    async reply(text, maxTokens) {
      let said = '';
      for await (const { text: more } of run(await loaded.encode(text), { maxTokens })) said += more;
      return said;
    },
    dispose: () => loaded.dispose(),
  };
}

/** @param {{ dtype: string, device: string }} options */
async function transformers({ dtype, device }) {
  const T = await import('/node_modules/@huggingface/transformers/dist/transformers.min.js');
  const { env } = T;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = '/models/';
  env.useBrowserCache = false;
  const wasm = '/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify';
  env.backends.onnx.wasm.wasmPaths = { mjs: `${wasm}.mjs`, wasm: `${wasm}.wasm` };
  const model = await T.AutoModelForCausalLM.from_pretrained('onnx', { device, dtype });
  const {
    num_hidden_layers: layers,
    num_key_value_heads: heads,
    hidden_size: hidden,
    num_attention_heads: all,
  } = model.config;
  const tensor = (ids) => new T.Tensor('int64', BigInt64Array.from(ids.map(BigInt)), [1, ids.length]);
  /** Ends the reply with its next token. */
  class Until extends T.StoppingCriteria {
    done = false;
    _call(rows) {
      return rows.map(() => this.done);
    }
  }
  const generate = async (ids, maxTokens, onToken, past) => {
    const until = new Until();
    let begun = false;
    await model.generate({
      inputs: tensor(ids),
      attention_mask: T.ones([1, ids.length]),
      max_new_tokens: maxTokens,
      do_sample: false,
      eos_token_id: 1e9,
      stopping_criteria: until,
      ...(past && { past_key_values: past }),
      streamer: {
        put([row]) {
          // The first is the prompt.
          if (begun) until.done = onToken(Number(row[0])) === true;
          begun = true;
        },
        end() {},
      },
    });
  };
  return {
    about: {
      version: env.version,
      onnxruntime: env.backends.onnx.versions?.web,
      threads: env.backends.onnx.wasm.numThreads,
    },
    async prompt(count) {
      const begun = now();
      let ended = begun;
      await generate(idsOf(count), 1, () => {
        ended = now();
      });
      return ended - begun;
    },
    async reach() {},
    async decode(position, how) {
      const clock = new Clock(how);
      // Keys and values before the position are zeros: the time does not depend on them.
      const dims = [1, heads, position - 1, hidden / all];
      const size = dims.reduce((a, b) => a * b);
      const entries = Array.from({ length: layers }, (_, i) =>
        ['key', 'value'].map((part) => `past_key_values.${i}.${part}`),
      );
      const zeros = () => new T.Tensor('float32', new Float32Array(size), dims);
      const past = new T.DynamicCache(Object.fromEntries(entries.flat().map((name) => [name, zeros()])));
      try {
        await generate(idsOf(position), clock.skip + how.steps + 1, () => clock.tick(), past);
      } finally {
        await past.dispose();
      }
      return clock.result();
    },
    async reply(text, maxTokens) {
      const tokenizer = await T.AutoTokenizer.from_pretrained('onnx');
      const ids = Array.from(tokenizer(text, { add_special_tokens: false }).input_ids.data, Number);
      const said = [];
      await generate(ids, maxTokens, (id) => void said.push(id));
      return tokenizer.decode(said, { skip_special_tokens: false });
    },
    dispose: () => model.dispose(),
  };
}

/** @param {{ model: string, contextLength: number, gpu: boolean }} options */
async function wllama({ model, contextLength, gpu }) {
  const { Wllama } = await import('/node_modules/@wllama/wllama/esm/index.js');
  const quiet = () => {};
  const logger = { debug: quiet, log: quiet, warn: quiet, error: console.error };
  const engine = new Wllama({ default: '/node_modules/@wllama/wllama/esm/wasm/wllama.wasm' }, { logger });
  const blob = await (await fetch(model)).blob();
  await engine.loadModel([blob], { n_ctx: contextLength, n_parallel: 1, n_gpu_layers: gpu ? 999 : 0 });
  // It takes texts alone; each of these words is a token.
  const words = (count) => `a${' a'.repeat(count - 1)}`;
  const complete = async (prompt, maxTokens, onToken, keep) => {
    const stop = new AbortController();
    let timings;
    try {
      await engine.createCompletion({
        prompt,
        max_tokens: maxTokens,
        temperature: 0,
        top_k: 1,
        ignore_eos: true,
        cache_prompt: keep,
        stream: true,
        abortSignal: stop.signal,
        onData(chunk) {
          timings = chunk.timings ?? timings;
          const [choice] = chunk.choices;
          if (choice && choice.finish_reason === null && onToken(choice.text) === true) stop.abort();
        },
      });
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
    return timings;
  };
  return {
    about: {
      libllama: Wllama.getLibllamaVersion(),
      threads: engine.getNumThreads(),
      multithreaded: engine.isMultithread(),
      webgpu: gpu && engine.isSupportWebGPU(),
    },
    async prompt(count) {
      const begun = now();
      let ended;
      const onToken = () => {
        ended ??= now();
      };
      const timings = await complete(words(count), 1, onToken, false);
      if (timings && timings.prompt_n !== count)
        throw new Error(`A prompt of ${timings.prompt_n} tokens, not of ${count}.`);
      return (ended ?? now()) - begun;
    },
    async reach(position) {
      await complete(words(position), 1, quiet, true);
    },
    async decode(position, how) {
      const clock = new Clock(how);
      await complete(words(position), clock.skip + how.steps + 1, () => clock.tick(), true);
      return clock.result();
    },
    async reply(text, maxTokens) {
      let said = '';
      await complete(
        text,
        maxTokens,
        (more) => {
          said += more;
        },
        false,
      );
      return said;
    },
    dispose: () => engine.exit(),
  };
}

/** @param {{ model: string, library: string, contextLength: number }} options */
async function webllm({ model, library, contextLength }) {
  const { CreateMLCEngine } = await import('/node_modules/@mlc-ai/web-llm/lib/index.js');
  const at = (path) => new URL(path, location.href).href;
  const record = { model: at(model), model_id: 'm', model_lib: at(library) };
  const engine = await CreateMLCEngine(
    'm',
    { appConfig: { model_list: [record] }, logLevel: 'ERROR' },
    { context_window_size: contextLength },
  );
  // It takes texts alone; each of these words is a token. A further text begins anew.
  const words = (count) => `a${' a'.repeat(count - 1)}`;
  const complete = async (prompt, maxTokens, onToken) => {
    let usage;
    const reply = await engine.completions.create({
      prompt,
      max_tokens: maxTokens,
      temperature: 0,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true },
    });
    let done = false;
    for await (const chunk of reply) {
      usage = chunk.usage ?? usage;
      const [choice] = chunk.choices;
      if (!choice || done) continue;
      if (choice.finish_reason === null && onToken(choice.text) === true) {
        done = true;
        engine.interruptGenerate();
      }
    }
    return usage;
  };
  return {
    about: { adapter: await engine.getGPUVendor() },
    async prompt(count) {
      const begun = now();
      let ended;
      const onToken = () => {
        ended ??= now();
      };
      const usage = await complete(words(count), 1, onToken);
      if (usage && usage.prompt_tokens !== count)
        throw new Error(`A prompt of ${usage.prompt_tokens} tokens, not of ${count}.`);
      return (ended ?? now()) - begun;
    },
    async reach() {},
    async decode(position, how) {
      const clock = new Clock(how);
      await complete(words(position), clock.skip + how.steps + 1, () => clock.tick());
      return clock.result();
    },
    async reply(text, maxTokens) {
      let said = '';
      await complete(text, maxTokens, (more) => {
        said += more;
      });
      return said;
    },
    dispose: () => engine.unload(),
  };
}

const kinds = { shishulm, transformers, wllama, webllm };

/** @type {Map<string, any>} */
const loaded = new Map();

/** Adapters show all features but these while the named engine runs. @type {Set<string>} */
let hidden = new Set();
if (globalThis.GPUSupportedFeatures) {
  const { has } = GPUSupportedFeatures.prototype;
  GPUSupportedFeatures.prototype.has = function (name) {
    return !hidden.has(name) && has.call(this, name);
  };
}

Object.assign(globalThis, {
  /** Loads an engine; ms. */
  async peerLoad({ name, kind, options, hide }) {
    hidden = new Set(hide);
    const begun = now();
    const engine = await kinds[kind](options);
    const ms = now() - begun;
    loaded.set(name, { engine, hide });
    return { ms, about: JSON.parse(JSON.stringify(engine.about)) };
  },
  /** Calls a method of an engine; its ms and what it gave. */
  async peerRun({ name, method, args }) {
    const { engine, hide } = loaded.get(name);
    hidden = new Set(hide);
    const begun = now();
    const result = await engine[method](...args);
    return { wall: now() - begun, result };
  },
  async peerAdapter() {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return null;
    const { vendor, architecture, description } = adapter.info;
    const has = (name) => adapter.features.has(name);
    return {
      name: [vendor, architecture, description].filter(Boolean).join(' '),
      f16: has('shader-f16'),
      subgroups: has('subgroups'),
      isolated: crossOriginIsolated,
      cores: navigator.hardwareConcurrency,
    };
  },
});
