import { EVALUATE_HELP, evaluateCommand } from '../train/command.ts';
import type { Command } from './args.ts';
import { openModel } from './io.ts';

export const command: Command = {
  help: EVALUATE_HELP,
  run: (argv, signal) =>
    evaluateCommand(argv, (folder, options) => openModel(folder, { ...options, signal })),
};
