import { readFile, stat } from 'node:fs/promises';
import { loadModel } from '../engine/engine.ts';
import type { EngineModel } from '../engine/model-interface.ts';
import type { LoadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import { type HubOptions, isHubId } from '../formats/hub.ts';
import { openModelPath } from '../formats/node-folder.ts';
import { openSource, type SourceOptions } from '../formats/open-source.ts';
import { sleepFor } from '../formats/retry.ts';
import type { Source } from '../formats/source.ts';
import { provideGpu } from './gpu.ts';
import { provideStorage } from './storage.ts';
import { tuningFile } from './tuning-file.ts';

/** The hub that the environment names, as other programs take it. */
function hubHere(): HubOptions {
  const { HF_ENDPOINT, HF_TOKEN } = process.env;
  return {
    ...(HF_ENDPOINT?.trim() && { endpoint: HF_ENDPOINT.trim() }),
    ...(HF_TOKEN?.trim() && { token: HF_TOKEN.trim() }),
  };
}

/** Waits that are long enough to be noticed are told. */
const tellingSleep: typeof sleepFor = (ms, signal) => {
  if (ms >= 5000) log(`Waiting ${Math.ceil(ms / 1000)} s, then asking the server again.`);
  return sleepFor(ms, signal);
};

/**
 * A model by the path of its folder or GGUF file, its name on a hub, or an address. What is on this machine goes before a name.
 * @param cache whether downloads are kept in the user's folder, and read from there
 */
export async function openModelFolder(model: string, cache: SourceOptions['cache'] = true): Promise<Source> {
  const address = /^(https?|hf):/i.test(model);
  if (!address && (!isHubId(model) || (await stat(model).catch(() => undefined))))
    return openModelPath(model);
  const keep = async (): Promise<SourceOptions['cache']> => {
    if (cache) await provideStorage();
    return cache;
  };
  return openSource(model, {
    hub: hubHere(),
    cache: await keep().catch((error: Error) => {
      log(`Downloads are not kept: ${error.message}.`);
      return false;
    }),
    sleep: tellingSleep,
    ...(!address && { note: `no folder or file ${model} is here` }),
    warn: log,
  });
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);

/** Shows on a terminal how many bytes of a model were read; nothing is left of it at the end. */
export const showBytes = (read: number, total: number): void => {
  if (process.stderr.isTTY)
    process.stderr.write(
      `\r\x1b[K${read < total ? `Loading ${megabytes(read)} of ${megabytes(total)} MB` : ''}`,
    );
};

/** Loads a model on the GPU named by `adapter`, showing progress on a terminal. */
export async function openModel(
  model: string | Source,
  { adapter, cache, ...options }: LoadOptions & { adapter?: string | undefined },
): Promise<EngineModel> {
  const source = typeof model === 'string' ? await openModelFolder(model, cache) : model;
  provideGpu(adapter);
  const { stderr } = process;
  const gpuOptions = { tuningStore: tuningFile() };
  if (!stderr.isTTY) return loadModel(source, options, gpuOptions);
  const onProgress: LoadOptions['onProgress'] = ({ phase, loadedBytes, totalBytes, kernels }) => {
    if (phase === 'read') showBytes(loadedBytes, totalBytes);
    else stderr.write(`\r\x1b[KCompiled ${kernels.compiled} of ${kernels.total} kernels`);
  };
  try {
    return await loadModel(source, { ...options, onProgress }, gpuOptions);
  } finally {
    stderr.write('\r\x1b[K');
  }
}

/** The folder of `--lora`. */
export const openLora = async (
  path: string | undefined,
  cache: SourceOptions['cache'],
): Promise<Source | undefined> => (path === undefined ? undefined : openModelFolder(path, cache));

/** Whether kernels are timed for later commands: with the profile of a GPU that nobody forced, it is one. */
const isToBeTimed = (
  { tune, profile = 'auto' }: LoadOptions,
  { info: { kernels, ...info } }: EngineModel,
): boolean =>
  kernels.from === 'defaults' && (tune ?? (profile === 'auto' && info.profile === 'gpu')) === true;

/**
 * Loads a model, with the adapter of `--lora`, for as long as it is used.
 * @param use gets what chooses the adapter, too
 */
export async function withModel(
  model: string | Source,
  { lora, ...options }: Parameters<typeof openModel>[1] & { lora: string | undefined },
  use: (model: EngineModel, chosen: { adapter?: string }) => Promise<void>,
): Promise<void> {
  const source = await openLora(lora, options.cache);
  const loaded = await openModel(model, options);
  try {
    const { signal } = options;
    const adapter = source && (await loaded.loadAdapter(source, { name: 'lora', signal })).name;
    await use(loaded, adapter === undefined ? {} : { adapter });
    // What the command is for has been done.
    if (isToBeTimed(options, loaded)) await loaded.tune().catch(() => {});
  } finally {
    await loaded.dispose();
  }
}

/** The text of a file; `-` is stdin. */
export async function readText(path: string): Promise<string> {
  try {
    const bytes = path === '-' ? await stdinBytes() : await readFile(path);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new ShishuError('not-found', `There is no file ${path}.`, { details: { file: path }, cause });
    const why =
      code === 'EISDIR' ? 'it is a folder' : cause instanceof TypeError ? 'it is not UTF-8 text' : message;
    throw new ShishuError('io', `Could not read ${path}: ${why}.`, { details: { file: path }, cause });
  }
}

async function stdinBytes(): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** Progress goes where it is in the way of no output. */
export const log = (line: string): void => void process.stderr.write(`${line}\n`);

export const printJson = (value: unknown): void => print(JSON.stringify(value));
