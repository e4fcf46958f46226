// React's useChat of the AI SDK, with no server: the agent and its model are in the page.
import { useChat } from '@ai-sdk/react';
import { DirectChatTransport, ToolLoopAgent } from 'ai';
import { createRoot } from 'react-dom/client';
import { loadModel } from 'shishulm';
import { languageModel } from 'shishulm/ai-sdk';

const model = await loadModel('model/', { worker: true });
const agent = new ToolLoopAgent({ model: languageModel(model), maxOutputTokens: 16, temperature: 0 });
const transport = new DirectChatTransport({ agent });

function Chat() {
  const { messages, sendMessage, status, error } = useChat({ transport });
  return (
    <>
      <ul>
        {messages.map(({ id, role, parts }) => (
          <li key={id} data-role={role}>
            {parts.map((part) => (part.type === 'text' ? part.text : ''))}
          </li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          sendMessage({ text: String(new FormData(event.currentTarget).get('prompt')) });
        }}
      >
        <label>
          Prompt <input name="prompt" defaultValue="Tell me a story." required />
        </label>
        <button type="submit">Answer</button>
      </form>
      <output data-state={status}>{error?.message}</output>
    </>
  );
}

createRoot(document.querySelector('main')).render(<Chat />);
