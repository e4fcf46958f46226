import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { chromiumArgs, findBrowser } from './scripts/find-browser.mjs';
import { vulkanEnv } from './test/support/vulkan-env.ts';

const executablePath = await findBrowser({ install: false }).catch(() => undefined);
const node = { environment: 'node', testTimeout: 60_000, hookTimeout: 60_000 } as const;

export default defineConfig({
  publicDir: false,
  worker: { format: 'es' },
  test: {
    projects: [
      { extends: true, test: { ...node, name: 'unit', include: ['test/unit/**/*.test.ts'] } },
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
        },
      },
      {
        extends: true,
        test: {
          ...node,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['test/support/demo-server.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'chromium',
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
