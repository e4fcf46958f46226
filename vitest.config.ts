import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { chromiumArgs, findBrowser } from './scripts/find-browser.mjs';
import { vulkanEnv } from './test/support/vulkan-env.ts';

const executablePath = await findBrowser({ install: false }).catch(() => undefined);
// A driver on the CPU takes seconds to compile a kernel that it has not kept from an earlier run.
const node = { environment: 'node', testTimeout: 180_000, hookTimeout: 60_000 } as const;

export default defineConfig({
  publicDir: false,
  // The trained model that tests use where it is present lies beside the repository.
  assetsInclude: ['**/*.safetensors'],
  server: { fs: { allow: ['.', '../shared'] } },
  worker: { format: 'es' },
  test: {
    // Software adapters use every core themselves; two at once slow each other a hundredfold.
    // So: one file at a time, and one project after the other (groupOrder).
    maxWorkers: 1,
    projects: [
      {
        extends: true,
        test: { ...node, name: 'unit', sequence: { groupOrder: 0 }, include: ['test/unit/**/*.test.ts'] },
      },
      {
        extends: true,
        test: {
          ...node,
          name: 'dawn',
          sequence: { groupOrder: 1 },
          include: ['test/kernel/**/*.test.ts', 'test/dawn/**/*.test.ts'],
          exclude: ['**/*.browser.test.ts'],
          setupFiles: ['test/support/gpu-node.ts'],
          env: vulkanEnv(),
          pool: 'forks',
        },
      },
      {
        extends: true,
        test: {
          ...node,
          name: 'e2e',
          sequence: { groupOrder: 2 },
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['test/support/demo-server.ts'],
        },
      },
      {
        extends: true,
        test: {
          ...node,
          name: 'firefox',
          sequence: { groupOrder: 4 },
          include: ['test/e2e/**/*.test.ts', 'test/firefox/**/*.test.ts'],
          globalSetup: ['test/support/demo-server.ts'],
          env: { TEST_BROWSER: 'firefox' },
        },
      },
      {
        extends: true,
        test: {
          name: 'chromium',
          sequence: { groupOrder: 3 },
          include: ['test/kernel/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({ launchOptions: { executablePath, args: chromiumArgs } }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
    ],
  },
});
