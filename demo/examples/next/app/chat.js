'use client';
// A client component: the model is loaded in the browser, when the first question is asked; the server renders the form alone.
import { useRef, useState } from 'react';

export default function Chat() {
  const loading = useRef();
  const [answer, setAnswer] = useState('');
  const [state, setState] = useState('');

  async function ask(event) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setAnswer('');
    setState('busy');
    try {
      const worker =
        form.has('worker') && new Worker(new URL('./model-worker.js', import.meta.url), { type: 'module' });
      loading.current ??= import('shishulm').then(({ loadModel }) => loadModel('/model/', { worker }));
      const model = await loading.current;
      const messages = [{ role: 'user', content: form.get('prompt') }];
      for await (const { text } of model.generate(messages, { maxTokens: 16, temperature: 0 }))
        setAnswer((before) => before + text);
      setState('done');
    } catch (error) {
      loading.current = undefined;
      setAnswer(String(error));
      setState('failed');
    }
  }

  return (
    <form onSubmit={ask}>
      <p>
        <label>
          <input name="worker" type="checkbox" /> in a worker
        </label>
      </p>
      <p>
        <label>
          Prompt <input name="prompt" defaultValue="Tell me a story." required />
        </label>
      </p>
      <button type="submit">Answer</button>
      <p>
        <output data-state={state}>{answer}</output>
      </p>
    </form>
  );
}
