import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  optimizeDeps: { exclude: ['shishulm'] },
  // The worker fetches parts of the package by need.
  worker: { format: 'es' },
});
