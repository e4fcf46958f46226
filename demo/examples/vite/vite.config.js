import { defineConfig } from 'vite';

// What the package needs of a content policy: its own scripts and worker, and models from the page's own server.
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self'", // favicon.ico, which browsers look for by themselves
].join('; ');

export default defineConfig({
  base: './',
  // In development Vite would move the package's files apart, and its worker would not be found.
  optimizeDeps: { exclude: ['shishulm'] },
  preview: { headers: { 'Content-Security-Policy': policy } },
});
