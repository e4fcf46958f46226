import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  // In development Vite would move the package's files apart, and its worker would not be found.
  optimizeDeps: { exclude: ['shishulm'] },
  build: { rolldownOptions: { input: ['openai.html', 'prompt-api.html', 'langchain.html', 'ai-sdk.html'] } },
});
