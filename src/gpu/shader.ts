import { ShishuError } from '../errors.ts';
import { askedOf, type Binding, type Kernel, type ShaderConstant, type ShaderSpec } from './kernel.ts';

const files = import.meta.glob<string>('../../shaders/{*,shared/*}.wgsl', {
  query: '?raw',
  import: 'default',
  eager: true,
});

/** Texts of shaders/ by their names, as `norm` or `shared/step`. */
export const SHADERS: ReadonlyMap<string, string> = new Map(
  Object.entries(files).map(([path, text]) => [/shaders\/(.*)\.wgsl$/.exec(path)![1]!, text]),
);

function textOf(name: string, { texts }: Kernel): string {
  const text = texts?.get(name) ?? SHADERS.get(name);
  if (text === undefined) throw new ShishuError('shader', `There is no shader ${name}.wgsl.`);
  return text;
}

/** Tells one state of the engine's shaders from another: FNV-1a of their names and texts. */
export function shadersDigest(texts = SHADERS): string {
  let hash = 0x811c9dc5;
  for (const text of [...texts].flat())
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16);
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
 * @throws ShishuError `shader` when there is no such file
 */
export function shaderText(spec: ShaderSpec): ShaderText {
  const { kernel, imports = {}, constants } = spec;
  const directives = new Set<string>();
  const lines: string[] = [];
  const origins: string[] = [];
  const seen = new Set<string>();
  const add = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = textOf(file, kernel);
    for (const [index, line] of text.split('\n').entries()) {
      const [, imported] = /^#import (\w+)/.exec(line) ?? [];
      if (imported !== undefined) {
        add(`shared/${imports[imported] ?? imported}`);
      } else if (/^(enable |diagnostic\()/.test(line)) {
        directives.add(line);
      } else {
        lines.push(line);
        origins.push(`${file}.wgsl:${index + 1}`);
      }
    }
  };
  add(kernel.name);
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
