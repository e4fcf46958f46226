import { ShishuError } from '../errors.ts';
import { lazy } from '../lazy.ts';
import {
  askedOf,
  type Binding,
  type Kernel,
  type ShaderConstant,
  type ShaderFolder,
  type ShaderSpec,
} from './kernel.ts';

/** Texts of shaders/ that are here, by their names, as `norm`, `gpu/matmul` or `shared/step`. */
const texts = new Map<string, string>();

const add = (files: Record<string, string>): void => {
  for (const [path, text] of Object.entries(files)) texts.set(/shaders\/(.*)\.wgsl$/.exec(path)![1]!, text);
};

add(
  import.meta.glob<string>('../../shaders/{*,shared/*}.wgsl', {
    query: '?raw',
    import: 'default',
    eager: true,
  }),
);

const FOLDERS: Record<ShaderFolder, () => Promise<void>> = {
  gpu: lazy(async () => add((await import('./shaders-gpu.ts')).default)),
  plain: lazy(async () => add((await import('./shaders-plain.ts')).default)),
  blocks: lazy(async () => add((await import('./shaders-blocks.ts')).default)),
  features: lazy(async () => add((await import('./shaders-features.ts')).default)),
};

/** Fetches the texts of folders, each once. */
export async function fetchShaders(...folders: readonly ShaderFolder[]): Promise<void> {
  await Promise.all(folders.map((folder) => FOLDERS[folder]()));
}

/** All texts of shaders/. */
export async function allShaders(): Promise<ReadonlyMap<string, string>> {
  await fetchShaders(...(Object.keys(FOLDERS) as ShaderFolder[]));
  return texts;
}

/** The folder that a file comes with; the others are always here. */
const folderOf = (name: string): ShaderFolder | undefined => {
  const folder = name.split('/').at(-2);
  return folder !== undefined && folder in FOLDERS ? (folder as ShaderFolder) : undefined;
};

/** A text was not fetched yet. */
class NotFetched extends Error {
  readonly folder: ShaderFolder;

  constructor(folder: ShaderFolder) {
    super(`The shaders of ${folder}/ were not fetched.`);
    this.folder = folder;
  }
}

function textOf(name: string, kernel: Kernel): string {
  const text = kernel.texts?.get(name) ?? texts.get(name);
  if (text !== undefined) return text;
  const folder = folderOf(name);
  if (folder && ![...texts.keys()].some((other) => folderOf(other) === folder)) throw new NotFetched(folder);
  throw new ShishuError('shader', `There is no shader ${name}.wgsl.`);
}

/** Tells one state of shaders from another: FNV-1a of their names and texts. */
export function digestOf(texts: Iterable<readonly [name: string, text: string]>): string {
  let hash = 0x811c9dc5;
  for (const text of [...texts].flat())
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16);
}

/** The digest of what GPUs run, which it fetches. */
export async function gpuDigest(): Promise<string> {
  await fetchShaders('gpu');
  return digestOf([...texts].filter(([name]) => [undefined, 'gpu'].includes(folderOf(name))));
}

/** A shader's whole text, and where each of its lines came from. */
export interface ShaderText {
  code: string;
  /** `file.wgsl:line` of each line of `code`. */
  origins: string[];
}

const literal = (name: string, value: ShaderConstant, type: 'f32' | undefined): string => {
  if (typeof value === 'boolean') return `const ${name} = ${value};`;
  return type === 'f32'
    ? `const ${name}: f32 = ${value.toExponential()};`
    : `const ${name}: u32 = ${value}u;`;
};

const declaration = ({ name, type, access }: Binding, number: number): string =>
  `@group(0) @binding(${number}) var<${access === 'uniform' ? access : `storage, ${access}`}> ${name}: ${type};`;

/**
 * Puts a shader's text together: prelude of constants and bindings, then the file with its imports in place, each once.
 * Its files are here already: see `readShader`.
 * @throws ShishuError `shader` when there is no such file
 */
export function shaderText(spec: ShaderSpec): ShaderText {
  const { kernel, imports = {}, constants } = spec;
  const directives = new Set<string>();
  const lines: string[] = [];
  const origins: string[] = [];
  const seen = new Set<string>();
  const include = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = textOf(file, kernel);
    for (const [index, line] of text.split('\n').entries()) {
      const [, imported] = /^#import ([\w/]+)/.exec(line) ?? [];
      if (imported !== undefined) {
        include(`shared/${imports[imported] ?? imported}`);
      } else if (/^(enable |diagnostic\()/.test(line)) {
        directives.add(line);
      } else {
        lines.push(line);
        origins.push(`${file}.wgsl:${index + 1}`);
      }
    }
  };
  include(kernel.folder ? `${kernel.folder}/${kernel.name}` : kernel.name);
  const prelude = [
    ...directives,
    ...Object.entries(constants).map(([key, value]) => literal(key, value, kernel.sizes[key]?.[2])),
    ...kernel.bindings(askedOf(spec)).map(declaration),
  ];
  return {
    code: [...prelude, ...lines].join('\n'),
    origins: [...prelude.map(() => 'prelude'), ...origins],
  };
}

/** A shader's text, its files fetched where they are not here. */
export async function readShader(spec: ShaderSpec): Promise<ShaderText> {
  for (;;)
    try {
      return shaderText(spec);
    } catch (error) {
      if (!(error instanceof NotFetched)) throw error;
      await fetchShaders(error.folder);
    }
}
