// Says what each lane of the tests took, and ends with the counts of the whole run.
import type { Reporter, TestCase, TestModule } from 'vitest/node';

interface Lane {
  passed: number;
  failed: number;
  skipped: number;
  /** Milliseconds since the epoch. */
  begun: number;
  ended: number;
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

/** A file counts as one failed test where it could not be run. */
const broken = (module: TestModule): boolean => module.errors().length > 0;

/** Lanes run one after the other or side by side, so each is timed from its first file's start to its last file's end. */
export class LaneReporter implements Reporter {
  readonly #lanes = new Map<string, Lane>();
  readonly #files: { name: string; ms: number }[] = [];

  #lane(module: TestModule): Lane {
    const { name } = module.project;
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = { passed: 0, failed: 0, skipped: 0, begun: Date.now(), ended: Date.now() };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  onTestModuleQueued(module: TestModule): void {
    this.#lane(module);
  }

  onTestCaseResult(test: TestCase): void {
    const lane = this.#lane(test.module);
    const { state } = test.result();
    if (state !== 'pending') lane[state]++;
  }

  onTestModuleEnd(module: TestModule): void {
    const lane = this.#lane(module);
    lane.ended = Date.now();
    if (broken(module)) lane.failed++;
    const { collectDuration, setupDuration, duration } = module.diagnostic();
    const ms = collectDuration + setupDuration + duration;
    this.#files.push({ name: `${module.project.name} ${module.relativeModuleId}`, ms });
  }

  onTestRunEnd(_: readonly TestModule[], errors: readonly unknown[]): void {
    const sum = { passed: 0, failed: errors.length, skipped: 0 };
    console.log('\nlane        passed  failed  skipped  took');
    for (const [name, { passed, failed, skipped, begun, ended }] of this.#lanes) {
      sum.passed += passed;
      sum.failed += failed;
      sum.skipped += skipped;
      const counts = [passed, failed, skipped].map((count, i) => String(count).padStart([6, 7, 8][i]!));
      console.log(`${name.padEnd(12)}${counts.join(' ')}  ${seconds(ended - begun)}`);
    }
    const slowest = this.#files.sort((a, b) => b.ms - a.ms).slice(0, 8);
    console.log(`slowest files: ${slowest.map(({ name, ms }) => `${name} ${seconds(ms)}`).join(', ')}`);
    console.log(
      `${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`,
    );
  }
}
