// The `shishulm` command, with the built-in corpus, which is no part of the engine.
import { toyCorpus } from '../demo/corpus/chats.ts';
import { runCommandLine } from '../src/cli.ts';

await runCommandLine(toyCorpus);
