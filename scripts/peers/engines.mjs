// What is compared: names, and what the page is told of each.

/** Positions that every engine has room for. */
export const CONTEXT = 2304;

const GGUF = '/models/smollm2.gguf';
/** ONNX Runtime's f32 products are wrong with subgroups of 4, which SwiftShader has. */
const NO_SUBGROUPS = ['subgroups', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];

/**
 * @typedef {{ title: string, kind: string, options: object, hide?: string[], files: string[], usual: boolean }} Peer
 * @type {Record<string, Peer>}
 */
export const PEERS = {
  'shishulm-q4': {
    title: 'shishulm, GGUF Q4_1',
    kind: 'shishulm',
    options: { model: GGUF, contextLength: CONTEXT },
    files: ['smollm2.gguf'],
    usual: true,
  },
  'transformers-q4': {
    title: 'transformers.js, WebGPU, q4',
    kind: 'transformers',
    options: { dtype: 'q4', device: 'webgpu' },
    hide: NO_SUBGROUPS,
    files: ['onnx/onnx/model_q4.onnx'],
    usual: true,
  },
  wllama: {
    title: 'wllama, CPU, GGUF Q4_1',
    kind: 'wllama',
    options: { model: GGUF, contextLength: CONTEXT, gpu: false },
    files: ['smollm2.gguf'],
    usual: true,
  },
  'shishulm-f32': {
    title: 'shishulm, f32',
    kind: 'shishulm',
    options: { model: '/models/f32/', contextLength: CONTEXT },
    files: ['f32/model.safetensors'],
    usual: false,
  },
  'transformers-f32': {
    title: 'transformers.js, WebGPU, f32',
    kind: 'transformers',
    options: { dtype: 'fp32', device: 'webgpu' },
    hide: NO_SUBGROUPS,
    files: ['onnx/onnx/model.onnx'],
    usual: false,
  },
  'web-llm-f32': {
    title: 'web-llm, f32',
    kind: 'webllm',
    options: { model: '/models/web-llm/', library: '/models/web-llm/model.wasm', contextLength: CONTEXT },
    files: ['web-llm/model.wasm', 'web-llm/resolve/main/tensor-cache.json'],
    usual: true,
  },
  'transformers-wasm-q4': {
    title: 'transformers.js, CPU, q4',
    kind: 'transformers',
    options: { dtype: 'q4', device: 'wasm' },
    files: ['onnx/onnx/model_q4.onnx'],
    usual: false,
  },
  'wllama-webgpu': {
    title: 'wllama, WebGPU, GGUF Q4_1',
    kind: 'wllama',
    options: { model: GGUF, contextLength: CONTEXT, gpu: true },
    files: ['smollm2.gguf'],
    usual: false,
  },
};

/** Rows of the table, in the order that they run: a prompt leaves the beginning of what a later position needs. */
export const ROWS = [
  { name: 'decode-100', title: 'decode at 100, tokens/s', position: 100 },
  { name: 'prompt-128', title: 'prompt of 128, ms', prompt: 128 },
  { name: 'prompt-1024', title: 'prompt of 1,024, ms', prompt: 1024 },
  { name: 'decode-2000', title: 'decode at 2,000, tokens/s', position: 2000 },
];
