import { loadModel, ShishuError } from 'shishulm';

const form = document.querySelector('form')!;
const output = document.querySelector('output')!;

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  output.value = '';
  output.dataset.state = 'busy';
  try {
    const model = await loadModel(String(fields.get('model')), { worker: fields.has('worker') });
    const stream = await model.chat.completions.create({
      messages: [{ role: 'user', content: String(fields.get('prompt')) }],
      max_tokens: 16,
      temperature: 0,
      stream: true,
    });
    for await (const { choices } of stream) output.value += choices[0]?.delta.content ?? '';
    await model.dispose();
    output.dataset.state = 'done';
  } catch (error) {
    // Every error of the package has a code: see docs/troubleshooting.md.
    output.value = error instanceof ShishuError ? `${error.code}: ${error.message}` : String(error);
    output.dataset.state = 'failed';
  }
});
