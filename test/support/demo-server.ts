// Vitest globalSetup: builds the demo and serves it; tests read its address with inject('demoUrl').
import { build, preview } from 'vite';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    demoUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const configFile = 'vite.config.ts';
  await build({ configFile, mode: 'demo', logLevel: 'warn' });
  const server = await preview({
    configFile,
    mode: 'demo',
    preview: { port: 0, host: '127.0.0.1' },
    logLevel: 'warn',
  });
  project.provide('demoUrl', server.resolvedUrls!.local[0]!);
  return () => server.close();
}
