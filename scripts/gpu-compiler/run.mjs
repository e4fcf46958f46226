// Starts check.ts.
import { withModule } from '../load-module.mjs';

const status = await withModule('/scripts/gpu-compiler/check.ts', ({ check }) =>
  check(process.argv.slice(2)),
).catch((error) => {
  console.error(error.message);
  return 1;
});
process.exit(status);
