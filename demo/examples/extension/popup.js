// Any page of the extension, and with `externally_connectable` pages of the web, ask like this.
const form = document.querySelector('form');
const output = document.querySelector('output');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  output.value = '';
  output.dataset.state = 'busy';
  const opened = await chrome.runtime.sendMessage('open');
  const fail = (why) => {
    output.value = why;
    output.dataset.state = 'failed';
  };
  if (opened !== 'open') return fail(opened);
  const port = chrome.runtime.connect({ name: 'model' });
  port.onMessage.addListener(({ text, done, error }) => {
    if (error) return fail(error);
    if (text) output.value += text;
    if (!done) return;
    output.dataset.state = 'done';
    port.disconnect();
  });
  const messages = [{ role: 'user', content: form.elements.prompt.value }];
  port.postMessage({ messages, options: { maxTokens: 16, temperature: 0 } });
});
