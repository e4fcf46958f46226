// What is fetched when the first LoRA adapter is loaded.
export { readAdapter } from './adapter.ts';
export { AdapterSet } from './adapters.ts';
