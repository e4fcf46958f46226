import { defineConfig } from 'vite';

// dist/ is the extension.
export default defineConfig({
  base: './',
  build: {
    // Service workers may not fetch more scripts, and need no preloading.
    modulePreload: false,
    rolldownOptions: {
      input: { popup: 'popup.html', offscreen: 'offscreen.html', background: 'background.js' },
      output: { entryFileNames: '[name].js' },
    },
  },
});
