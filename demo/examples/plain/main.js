import { loadModel } from 'shishulm';

const form = document.querySelector('form');
const output = document.querySelector('output');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { model: source, worker, prompt } = form.elements;
  output.value = '';
  output.dataset.state = 'busy';
  try {
    const model = await loadModel(source.value, { worker: worker.checked });
    const reply = model.generate([{ role: 'user', content: prompt.value }], { maxTokens: 16 });
    for await (const { text } of reply) output.value += text;
    await model.dispose();
    output.dataset.state = 'done';
  } catch (error) {
    // Every error of the package has a code: see docs/troubleshooting.md.
    output.value = error.code ? `${error.code}: ${error.message}` : String(error);
    output.dataset.state = 'failed';
  }
});
