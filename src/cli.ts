import { readFileSync } from 'node:fs';
import type { Command } from './cli/args.ts';
import { ShishuError } from './errors.ts';
import type { ChatCorpus } from './train/chat-corpus.ts';

interface Entry {
  summary: string;
  /** Loaded when it is run, so that the others start fast. */
  load(): Promise<{ command: Command }>;
}

const COMMANDS: Record<string, Entry> = {
  inspect: { summary: 'what a model is, and its bytes', load: () => import('./cli/inspect.ts') },
  generate: { summary: 'continue a text or a conversation', load: () => import('./cli/generate.ts') },
  score: { summary: 'perplexity of a text', load: () => import('./cli/score.ts') },
  embed: { summary: 'vectors of texts, and how alike they are', load: () => import('./cli/embed.ts') },
  train: { summary: 'train a small model from a config', load: () => import('./cli/train.ts') },
  analyze: { summary: "what each block's attention does for a text", load: () => import('./cli/analyze.ts') },
  convert: { summary: 'make a ShishuLM of a parent', load: () => import('./cli/convert.ts') },
  heal: { summary: 'heal a child with more tokens', load: () => import('./cli/heal.ts') },
  quality: {
    summary: 'what a parent loses as attention goes',
    load: () => import('./cli/quality.ts'),
  },
  eval: { summary: 'how a model does on a task', load: () => import('./cli/eval.ts') },
  evaluate: { summary: 'perplexity and accuracy on held-out chats', load: () => import('./cli/evaluate.ts') },
  tune: { summary: 'choose the fastest kernels for this GPU', load: () => import('./cli/tune.ts') },
  serve: { summary: "OpenAI's HTTP API on this machine", load: () => import('./cli/serve.ts') },
  bench: { summary: 'measure a model against its child', load: () => import('./cli/bench.ts') },
};

const HELP = `shishulm COMMAND ... [--help]
  Runs, makes and measures ShishuLM and its parents (Llama, Qwen) on WebGPU.

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`)
  .join('\n')}

  --help    of a command: its options
  --version`;

/** package.json lies beside the folder of this file, built or not. */
const version = (): string =>
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;

async function run(
  [name, ...rest]: readonly string[],
  signal: AbortSignal,
  corpus: ChatCorpus,
): Promise<void> {
  const commands = `There is: ${Object.keys(COMMANDS).join(', ')}.`;
  if (name === '--version' || name === '-v') return console.log(version());
  if (name === '--help' || name === '-h' || name === 'help') return console.log(HELP);
  if (name === undefined) throw new ShishuError('bad-argument', 'No command was given.', { mend: commands });
  if (!Object.hasOwn(COMMANDS, name))
    throw new ShishuError('bad-argument', `There is no command "${name}".`, { mend: commands });
  const { command } = await COMMANDS[name]!.load();
  if (rest.includes('--help') || rest.includes('-h')) return console.log(command.help);
  await command.run(rest, signal, corpus);
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** An error as one line; the engine's names of options become flags. */
function lineOf(error: ShishuError): string {
  return error.message
    .replace(/\s+/g, ' ')
    .replace(/(?:Option|Setting) "(\w+)"/, (_, name: string) => `--${kebab(name)}`)
    .replace('--context-length', '--context')
    .replace('contextLength', '--context')
    .replace("dtype 'f32', or 'auto'", '--dtype f32, or auto')
    .replace("kv: 'f32'", '--kv f32');
}

/**
 * Runs the command that the process was started with, and ends the process.
 * @param corpus what models are trained and evaluated on unless a text is given
 */
export async function runCommandLine(corpus: ChatCorpus): Promise<never> {
  const interrupt = new AbortController();
  process.on('SIGINT', () => {
    // The first lets what runs end in order; the second ends it at once.
    if (interrupt.signal.aborted) process.exit(130);
    interrupt.abort();
  });
  // Whoever reads our output may stop early, as `head` does.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

  let code = 0;
  try {
    await run(process.argv.slice(2), interrupt.signal, corpus);
  } catch (error) {
    code = 1;
    const aborted = interrupt.signal.aborted && error instanceof ShishuError && error.code === 'aborted';
    if (!aborted) console.error(error instanceof ShishuError ? `shishulm: ${lineOf(error)}` : error);
  }
  // Dawn's threads would keep the process alive.
  process.exit(interrupt.signal.aborted ? 130 : code);
}
