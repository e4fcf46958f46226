import type { Chat, ChatCorpus, Split } from '../../src/train/chat-corpus.ts';
import type { Turn } from '../../src/train/chat-format.ts';
import { hashOf, type Random, randomFrom } from '../../src/train/random.ts';
import { pick, pickSome } from './pick.ts';
import { drawStory, STORY_QUESTIONS, type StoryQuestion } from './story.ts';
import { ANIMALS, COLOURS, DAYS, FOODS, MONTHS, NAMES, NUMBERS, OPPOSITES, SPELLED } from './words.ts';

export const KINDS = [
  'story',
  'telling',
  'talk',
  'list',
  'opposite',
  'sum',
  'calendar',
  'echo',
  'spell',
] as const;
/** Kinds of chat: a story by the user, a story by the assistant, small talk, and short tasks. */
export type Kind = (typeof KINDS)[number];

/** A chat of this corpus. */
export interface ToyChat extends Chat {
  kind: Kind;
  /** The combinations of words that fill its slots, all of one split. Small talk has none. */
  keys: string[];
}

/** One combination of slots in eight is held out: it is in evaluation and never in training. */
export const HELD_OUT_ONE_IN = 8;

/** The split that a combination is in. Both kinds of story share one. */
export const splitOf = (kind: Kind, key: string): Split =>
  hashOf(`${kind === 'telling' ? 'story' : kind}/${key}`) % HELD_OUT_ONE_IN === 0 ? 'held-out' : 'train';

/** A question as typed: one in seven begins without a capital and lacks its final mark. */
function asTyped(random: Random, question: string): string {
  if (random() > 0.15) return question;
  const lower = question[0]!.toLowerCase() + question.slice(1);
  return lower.replace(/[?.!]$/, '');
}

const user = (content: string): Turn => ({ role: 'user', content });
const reply = (content: string, asks?: StoryQuestion | Kind): Turn => ({
  role: 'assistant',
  content,
  ...(asks && { asks }),
});

function drawStoryChat(random: Random, kind: 'story' | 'telling'): ToyChat {
  const story = drawStory(random);
  const turns =
    kind === 'telling' ? [user(asTyped(random, story.request)), reply(story.text)] : ([] as Turn[]);
  const asked = pickSome(
    random,
    story.questions,
    Math.min(story.questions.length, 2 + Math.floor(random() * 3)),
  );
  asked.forEach(({ asks, question, answer }, i) => {
    const text = asTyped(random, question);
    turns.push(user(kind === 'story' && i === 0 ? `${story.text} ${text}` : text), reply(answer, asks));
  });
  return { kind, keys: [story.key], turns };
}

/** Questions of one meaning and what may be said to them. */
const TALK: readonly (readonly [asked: readonly string[], said: readonly string[]])[] = [
  [
    ['Hello!', 'Hello.', 'Hi!', 'Hi there!', 'Good day!'],
    ['Hello! How are you?', 'Hello! It is good to see you.'],
  ],
  [['How are you?', 'How do you feel?', 'Are you well?'], ['I am well, thank you. How are you?']],
  [['I am well.', 'I am fine, thank you.', 'Very well.'], ['I am happy to hear that.']],
  [['I am sad.', 'I am tired.', 'I feel bad.'], ['I am sorry to hear that. Shall I tell you a story?']],
  [
    ['Who are you?', 'What are you?', 'What is your name?'],
    ['I am a very small language model. I run in your browser.'],
  ],
  [
    ['How big are you?', 'Are you big?', 'Are you small?'],
    ['I am very small. I know only a few hundred words.'],
  ],
  [
    ['What can you do?', 'Help!', 'Can you help me?', 'What do you know?'],
    ['I can tell a story and answer questions about it. I can also count, spell and name things.'],
  ],
  [['Thank you!', 'Thanks!', 'Thank you very much.'], ['You are welcome!']],
  [['Goodbye!', 'Bye!', 'Good night!', 'See you!'], ['Goodbye! Come back soon.']],
  [['Do you like stories?', 'Do you like me?'], ['Yes, I do!']],
  [['Where do you live?', 'Where are you?'], ['I live in this page.']],
  [['Are you a person?', 'Are you alive?'], ['No, I am a small program.']],
];

/** A few exchanges of small talk, often opened by a greeting and closed by thanks or a goodbye. */
function drawTalk(random: Random): ToyChat {
  const turns = pickSome(random, TALK, 1 + Math.floor(random() * 3)).flatMap(([asked, said]) => [
    user(asTyped(random, pick(random, asked))),
    reply(pick(random, said)),
  ]);
  return { kind: 'talk', keys: [], turns };
}

/** `a, b and c`. */
const joined = (words: readonly string[]): string =>
  words.length === 1 ? words[0]! : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);

interface Task {
  key: string;
  question: string;
  answer: string;
  /** Only one answer is right. */
  exact: boolean;
}

const GROUPS = { animals: ANIMALS, colours: COLOURS, names: NAMES, days: DAYS, months: MONTHS, foods: FOODS };

const TASKS: Record<Exclude<Kind, 'story' | 'telling' | 'talk'>, (random: Random) => Task> = {
  list: (random) => {
    const group = pick(random, Object.keys(GROUPS) as (keyof typeof GROUPS)[]);
    const n = 2 + Math.floor(random() * 3);
    const words = pickSome(random, GROUPS[group], n);
    return {
      key: words.join(' '),
      question: `${pick(random, ['Name', 'Tell me', 'Give me'])} ${NUMBERS[n]} ${group}.`,
      answer: `${capital(joined(words))}.`,
      exact: false,
    };
  },
  opposite: (random) => {
    const pair = pick(random, OPPOSITES);
    const [word, other] = random() < 0.5 ? pair : [pair[1], pair[0]];
    const form = Math.floor(random() * 3);
    return {
      key: `${word} ${form}`,
      question: [`What is the opposite of ${word}?`, `What is not ${word}?`, `Say the opposite of ${word}.`][
        form
      ]!,
      answer: `The opposite of ${word} is ${other}.`,
      exact: true,
    };
  },
  sum: (random) => {
    const a = Math.floor(random() * 21);
    const b = Math.floor(random() * (21 - a));
    return {
      key: `${a} ${b}`,
      question: pick(random, [`What is ${a} plus ${b}?`, `How much is ${a} and ${b}?`, `${a} plus ${b}?`]),
      answer: `${a} plus ${b} is ${a + b}.`,
      exact: true,
    };
  },
  calendar: (random) => {
    const [list, unit] = random() < 0.5 ? ([DAYS, 'day'] as const) : ([MONTHS, 'month'] as const);
    const at = Math.floor(random() * list.length);
    const after = random() < 0.5;
    const other = list[(at + (after ? 1 : list.length - 1)) % list.length]!;
    const [word, form] = [after ? 'after' : 'before', Math.floor(random() * 3)];
    const question = [
      `What ${unit} comes ${word} ${list[at]}?`,
      `Which ${unit} is ${word} ${list[at]}?`,
      `What comes ${word} ${list[at]}?`,
    ][form]!;
    return {
      key: `${word} ${list[at]} ${form}`,
      question,
      answer: `${other} comes ${word} ${list[at]}.`,
      exact: true,
    };
  },
  echo: (random) => {
    const words = Array.from({ length: 2 + Math.floor(random() * 4) }, () =>
      pick(random, pick(random, [ANIMALS, COLOURS, NAMES, SPELLED, FOODS])),
    ).join(' ');
    const question = pick(random, [`Say it back: ${words}.`, `Say: ${words}.`, `Repeat: ${words}.`]);
    return { key: words, question, answer: `You said: ${words}.`, exact: true };
  },
  spell: (random) => {
    const word = pick(random, SPELLED);
    const form = Math.floor(random() * 3);
    return {
      key: `${word} ${form}`,
      question: [`Spell ${word}.`, `How do you spell ${word}?`, `Can you spell ${word}?`][form]!,
      answer: `The word ${word} is ${[...word].join(' ')}.`,
      exact: true,
    };
  },
};

/** One to three tasks of a kind, all of one split. */
function drawTask(random: Random, kind: keyof typeof TASKS, split: Split): ToyChat {
  const tasks: Task[] = [];
  const wanted = 1 + Math.floor(random() * 3);
  while (tasks.length < wanted) {
    const task = TASKS[kind](random);
    if (splitOf(kind, task.key) === split) tasks.push(task);
  }
  return {
    kind,
    keys: tasks.map((task) => task.key),
    turns: tasks.flatMap(({ question, answer, exact }) => [
      user(asTyped(random, question)),
      reply(answer, exact ? kind : undefined),
    ]),
  };
}

/** How often each kind is drawn: stories most, since they are what attention is for. */
const SHARES: Record<Kind, number> = {
  story: 36,
  telling: 20,
  talk: 6,
  list: 4,
  opposite: 5,
  sum: 8,
  calendar: 7,
  echo: 9,
  spell: 5,
};

function drawKind(random: Random): Kind {
  let at = random() * Object.values(SHARES).reduce((a, b) => a + b, 0);
  for (const kind of KINDS) {
    at -= SHARES[kind];
    if (at < 0) return kind;
  }
  return 'story';
}

/** Chat number `index` of a seed: a function of its arguments alone. With `kind`, a chat of that kind. */
export function chatAt(seed: number, index: number, split: Split = 'train', kind?: Kind): ToyChat {
  const random = randomFrom(hashOf(`${seed}/${index}/${split}`));
  const drawn = kind ?? drawKind(random);
  if (drawn === 'talk') return drawTalk(random);
  if (drawn !== 'story' && drawn !== 'telling') return drawTask(random, drawn, split);
  for (;;) {
    const chat = drawStoryChat(random, drawn);
    if (splitOf(drawn, chat.keys[0]!) === split) return chat;
  }
}

/** The corpus that the embedded pair is trained on, and that `shishulm train` has built in. */
export const toyCorpus: ChatCorpus = { kinds: KINDS, storyQuestions: STORY_QUESTIONS, chatAt };
