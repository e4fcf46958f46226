// A Vite plugin for the build of the package: prints what a page downloads of it, gzipped, dependencies apart.
import { gzipSync } from 'node:zlib';
import type { Plugin, Rolldown } from 'vite';

const ENGINE = ['src/index.ts', 'src/engine/engine.ts', 'src/engine/estimate.ts', 'src/api/crash-notes.ts'];
const GPU = [...ENGINE, 'src/gpu/shaders-gpu.ts'];

/** Uses of the package, by the modules that they fetch; what those import statically comes with them. */
const USES: Record<string, readonly string[]> = {
  'engine (loadModel, estimate)': ENGINE,
  'engine on a GPU': GPU,
  'engine on a software adapter': [...ENGINE, 'src/gpu/shaders-plain.ts'],
  'engine on a GPU, chat': [...GPU, 'src/api/openai.ts'],
  'engine on a GPU, constraints': [...GPU, 'src/engine/mask-cache.ts'],
  'page of a model in a worker': ['src/index.ts', 'src/api/remote.ts'],
  'convert, with the engine': ['src/convert/index.ts', 'src/engine/engine.ts'],
  'bench, with the engine': ['src/bench.ts', 'src/engine/engine.ts'],
};

/** What comes beside the engine by need: the modules that are fetched first, with what comes with them. */
const BY_NEED: Record<string, readonly string[]> = {
  'chat template': ['src/formats/chat-template.ts'],
  'model.chat': ['src/api/openai.ts'],
  'weights in blocks or bf16': ['src/gpu/shaders-blocks.ts'],
  'kernels of features': ['src/gpu/shaders-features.ts'],
  'GGUF files': ['src/formats/gguf/folder.ts', 'src/formats/gguf/widen.ts'],
  'family shishu-llama': ['src/families/shishu.ts'],
  'log-probabilities': ['src/kernels/logprobs.ts'],
  'score, logits': ['src/engine/scoring.ts'],
  embed: ['src/engine/embedding.ts'],
  constraints: ['src/engine/mask-cache.ts'],
  adapters: ['src/engine/load-adapter.ts'],
  'linear maps': ['src/model/linear-maps.ts'],
  'timing of kernels': ['src/engine/tune.ts', 'src/gpu/shaders-plain.ts'],
};

const gzipped = (code: string | Uint8Array): number => gzipSync(code).length;

export const reportSize = (): Plugin => ({
  name: 'report-size',
  apply: 'build',
  writeBundle(_, bundle) {
    const files = Object.values(bundle);
    const chunks = files.filter((file): file is Rolldown.OutputChunk => file.type === 'chunk');
    /** The files that modules come in. */
    const filesOf = (modules: readonly string[]): Set<Rolldown.OutputChunk> => {
      const needed = new Set<Rolldown.OutputChunk>();
      const need = (chunk: Rolldown.OutputChunk | undefined): void => {
        if (!chunk || needed.has(chunk)) return;
        needed.add(chunk);
        for (const name of chunk.imports) need(chunks.find(({ fileName }) => fileName === name));
      };
      for (const module of modules) {
        const chunk = chunks.find(({ moduleIds }) => moduleIds.some((id) => id.endsWith(`/${module}`)));
        if (!chunk) this.error(`${module} is in no file of the package.`);
        need(chunk);
      }
      return needed;
    };
    const bytesOf = (of: Iterable<Rolldown.OutputChunk>): number =>
      [...of].reduce((sum, { code }) => sum + gzipped(code), 0);
    const say = (use: string, bytes: number): void =>
      console.log(`${use.padEnd(32)}${String(bytes).padStart(8)}`);

    console.log('\nBytes, gzipped, without the tokenizer packages:');
    for (const [use, modules] of Object.entries(USES)) say(use, bytesOf(filesOf(modules)));
    const worker = files.find(({ fileName }) => fileName === 'worker.js');
    if (worker?.type === 'asset') say('worker.js, with the tokenizer', gzipped(worker.source));
    console.log('By need, beside the engine:');
    const there = filesOf(ENGINE);
    for (const [use, modules] of Object.entries(BY_NEED))
      say(`+ ${use}`, bytesOf([...filesOf(modules)].filter((chunk) => !there.has(chunk))));
  },
});
