import { TRAIN_HELP, trainCommand } from '../train/command.ts';
import type { Command } from './args.ts';

export const command: Command = { help: TRAIN_HELP, run: trainCommand };
