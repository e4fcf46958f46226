// The service worker ends whenever it has nothing to do, and may not import(): the model lives in a page that is never shown.
/** @type {Promise<void> | undefined} */
let opening;

async function open() {
  const pages = await chrome.runtime.getContexts({ contextTypes: ['OFFSCREEN_DOCUMENT'] });
  if (pages.length > 0) return;
  await chrome.offscreen.createDocument({
    url: 'offscreen.html',
    reasons: ['WORKERS'],
    justification: 'Runs a language model on the GPU.',
  });
}

// Whoever wants an answer has the page opened first, and connects to it then.
chrome.runtime.onMessage.addListener((message, _, answer) => {
  if (message !== 'open') return false;
  opening ??= open().finally(() => {
    opening = undefined;
  });
  opening.then(
    () => answer('open'),
    (error) => answer(String(error)),
  );
  // The answer comes later.
  return true;
});
