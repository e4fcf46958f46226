import { readFile } from 'node:fs/promises';
import { loadModel } from '../engine/engine.ts';
import type { EngineModel } from '../engine/model-interface.ts';
import type { LoadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import { openModelPath } from '../formats/node-folder.ts';
import { openSource } from '../formats/open-source.ts';
import type { Source } from '../formats/source.ts';
import { provideGpu } from './gpu.ts';
import { tuningFile } from './tuning-file.ts';

/** A model by the path or URL of its folder or GGUF file. */
export const openModelFolder = async (folder: string): Promise<Source> =>
  /^https?:\/\//.test(folder) ? openSource(folder) : openModelPath(folder);

/** Loads a folder's model on the GPU named by `adapter`, showing progress on a terminal. */
export async function openModel(
  folder: string,
  { adapter, ...options }: LoadOptions & { adapter?: string | undefined },
): Promise<EngineModel> {
  const source = await openModelFolder(folder);
  provideGpu(adapter);
  const { stderr } = process;
  const gpuOptions = { tuningStore: tuningFile() };
  if (!stderr.isTTY) return loadModel(source, options, gpuOptions);
  const onProgress: LoadOptions['onProgress'] = ({ phase, loadedBytes, totalBytes, kernels }) => {
    const read = `Loading ${Math.floor((100 * loadedBytes) / totalBytes)} %`;
    stderr.write(
      `\r\x1b[K${phase === 'read' ? read : `Compiled ${kernels.compiled} of ${kernels.total} kernels`}`,
    );
  };
  try {
    return await loadModel(source, { ...options, onProgress }, gpuOptions);
  } finally {
    stderr.write('\r\x1b[K');
  }
}

/** The folder of `--lora`. */
export const openLora = async (path: string | undefined): Promise<Source | undefined> =>
  path === undefined ? undefined : openModelFolder(path);

/** Loads the adapter of `--lora`; gives what chooses it. */
export async function loadLora(
  model: EngineModel,
  source: Source | undefined,
  signal: AbortSignal,
): Promise<{ adapter?: string }> {
  if (!source) return {};
  const name = 'lora';
  await model.loadAdapter(source, { name, signal });
  return { adapter: name };
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
