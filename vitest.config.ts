import { playwright } from '@vitest/browser-playwright';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { chromiumArgs, findBrowser } from './scripts/find-browser.mjs';
import { LaneReporter } from './test/support/lane-reporter.ts';
import { vulkanEnv } from './test/support/vulkan-env.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Whether this is the full run. */
    full: boolean;
  }
}

const executablePath = await findBrowser({ install: false }).catch(() => undefined);
// A driver on the CPU takes seconds to compile a kernel that it has not kept from an earlier run.
const node = { environment: 'node', testTimeout: 180_000, hookTimeout: 60_000 } as const;

/** What only the full run tests, of the lanes that all runs have: it takes long, and says more of the same. */
const LONG = '**/*.full.test.ts';
/** What Chromium's software adapter takes minutes over, and Dawn runs each time. */
const LONG_IN_CHROMIUM = ['gpu-profile*', 'tune', 'auto', 'models'].map(
  (name) => `test/kernel/${name}.test.ts`,
);

/** What Dawn's driver on the CPU compiles for minutes, and Chromium has run in a full run. */
const LONG_IN_DAWN = ['gpu-profile-variants.full', 'train-torch-gpu.full', 'tune', 'models'].map(
  (name) => `test/kernel/${name}.test.ts`,
);

/** Lanes, in the order in which they run: software adapters use every core themselves, and two at once slow each other. */
const lanes: TestProjectInlineConfiguration[] = [
  {
    extends: true,
    test: { ...node, name: 'unit', include: ['test/unit/**/*.test.ts'], maxWorkers: 2 },
  },
  {
    extends: true,
    test: {
      ...node,
      name: 'dawn',
      include: ['test/kernel/**/*.test.ts', 'test/dawn/**/*.test.ts'],
      exclude: ['**/*.browser.test.ts'],
      setupFiles: ['test/support/gpu-node.ts'],
      env: vulkanEnv(),
      pool: 'forks',
      // One process and so one device for all files: what one compiled, the next need not.
      isolate: false,
      maxWorkers: 1,
    },
  },
  {
    extends: true,
    test: {
      ...node,
      name: 'e2e',
      include: ['test/e2e/**/*.test.ts'],
      globalSetup: ['test/support/demo-server.ts'],
      maxWorkers: 1,
    },
  },
  {
    extends: true,
    test: {
      name: 'chromium',
      include: ['test/kernel/**/*.test.ts'],
      testTimeout: 60_000,
      hookTimeout: 60_000,
      maxWorkers: 1,
      browser: {
        enabled: true,
        headless: true,
        isolate: false,
        screenshotFailures: false,
        provider: playwright({ launchOptions: { executablePath, args: chromiumArgs } }),
        instances: [{ browser: 'chromium' }],
      },
    },
  },
];

/** The end-to-end tests once more, in Firefox; `npm run test:firefox` runs these alone. */
const firefox: TestProjectInlineConfiguration = {
  extends: true,
  test: {
    ...node,
    name: 'firefox',
    include: ['test/e2e/**/*.test.ts', 'test/firefox/**/*.test.ts'],
    // One crashes its tab by an address that is Chromium's; the other takes the network away, which its protocol cannot.
    exclude: ['test/e2e/crash.test.ts', 'test/e2e/offline.test.ts'],
    globalSetup: ['test/support/demo-server.ts'],
    env: { TEST_BROWSER: 'firefox' },
    maxWorkers: 1,
  },
};

export default defineConfig(({ mode }) => ({
  publicDir: false,
  // The trained model that tests use where it is present lies beside the repository.
  assetsInclude: ['**/*.safetensors', '**/*.gguf'],
  server: { fs: { allow: ['.', '../shared'] } },
  worker: { format: 'es' },
  test: {
    reporters: ['default', new LaneReporter()],
    projects: (mode === 'full' ? [...lanes, firefox] : lanes).map((lane, groupOrder) => ({
      ...lane,
      test: {
        ...lane.test,
        exclude: [
          ...(lane.test?.exclude ?? []),
          ...(mode !== 'full' ? [LONG, ...(lane.test?.browser ? LONG_IN_CHROMIUM : [])] : []),
          ...(mode === 'full' && lane.test?.name === 'dawn' ? LONG_IN_DAWN : []),
        ],
        sequence: { groupOrder },
        // `--mode full` (npm run test:all): the tests that take long, too. A lane does not inherit what is provided here.
        provide: { full: mode === 'full' },
      },
    })),
  },
}));
