// Every kernel of training against its CPU twin.
import { TRAIN_KERNELS } from '../../../src/train/kernels/all.ts';
import { walkKernels } from '../../support/walk-kernels.ts';

await walkKernels(TRAIN_KERNELS);
