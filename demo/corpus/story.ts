import type { Random } from '../../src/train/random.ts';
import { pick, pickSome } from './pick.ts';
import { ANIMALS, COLOURS, DEEDS, FEELINGS, NAMES, NUMBERS, PLACES, THINGS } from './words.ts';

/** What a question about a story asks for. */
export const STORY_QUESTIONS = [
  'name',
  'animal',
  'place',
  'colour',
  'count',
  'friend',
  'gift',
  'first',
  'last',
  'feeling',
  'unknown',
] as const;
export type StoryQuestion = (typeof STORY_QUESTIONS)[number];

export interface Question {
  asks: StoryQuestion;
  question: string;
  answer: string;
}

export interface Story {
  /** The slots that make this story, for the split between training and evaluation. */
  key: string;
  /** A request that makes the model tell it. */
  request: string;
  text: string;
  questions: Question[];
}

const article = (word: string): string => (/^[aeiou]/.test(word) ? `an ${word}` : `a ${word}`);

/**
 * A story of an animal with a name, a home, some coloured things, a friend who gives something and two deeds;
 * and every question that it answers. Half of the facts are left out at random, so that stories differ in form.
 */
export function drawStory(random: Random): Story {
  const [name, friend] = pickSome(random, NAMES, 2) as [string, string];
  const [animal, friendAnimal] = pickSome(random, ANIMALS, 2) as [string, string];
  const place = pick(random, PLACES);
  const [[one, many], [gift], [other]] = pickSome(random, THINGS, 3) as [
    [string, string],
    [string, string],
    [string, string],
  ];
  const [colour, giftColour] = pickSome(random, COLOURS, 2) as [string, string];
  const count = 1 + Math.floor(random() * 9);
  const [first, last] = pickSome(random, DEEDS, 2) as [string, string];
  const feeling = pick(random, FEELINGS);
  const has = (): boolean => random() < 0.6;

  const questions: Question[] = [];
  const ask = (asks: StoryQuestion, answer: string, ...forms: string[]): void => {
    questions.push({ asks, question: pick(random, forms), answer });
  };

  const sentences = [
    pick(random, [
      `${name} was ${article(animal)}.`,
      `Once there was ${article(animal)} called ${name}.`,
      `There was ${article(animal)}. The name of the ${animal} was ${name}.`,
    ]),
  ];
  ask(
    'name',
    `The ${animal} was called ${name}.`,
    `What was the ${animal} called?`,
    `Who was the ${animal}?`,
  );
  ask('animal', `${name} was ${article(animal)}.`, `What animal was ${name}?`, `What was ${name}?`);

  if (has()) {
    sentences.push(pick(random, [`${name} lived ${place}.`, `The ${animal} lived ${place}.`]));
    ask('place', `${name} lived ${place}.`, `Where did ${name} live?`, `Where did the ${animal} live?`);
  }
  const things = count === 1 ? one : many;
  const were = count === 1 ? 'was' : 'were';
  sentences.push(`${name} had ${NUMBERS[count]} ${colour} ${things}.`);
  ask('colour', `The ${things} ${were} ${colour}.`, `What colour ${were} the ${things}?`);
  ask('count', `${name} had ${NUMBERS[count]} ${things}.`, `How many ${many} did ${name} have?`);

  const unknown = `What colour was the ${other}?`;
  ask('unknown', 'The story does not say.', unknown, `Who had the ${other}?`, `Where was the ${other}?`);

  if (has()) {
    sentences.push(
      pick(random, [
        `One day ${name} met ${friend} the ${friendAnimal}.`,
        `One day ${article(friendAnimal)} called ${friend} came.`,
      ]),
    );
    ask(
      'friend',
      `The ${friendAnimal} was called ${friend}.`,
      `What was the ${friendAnimal} called?`,
      `Who was the ${friendAnimal}?`,
    );
    ask('animal', `${friend} was ${article(friendAnimal)}.`, `What animal was ${friend}?`);
    if (has()) {
      sentences.push(`${friend} gave ${name} ${article(giftColour)} ${gift}.`);
      ask(
        'gift',
        `${friend} gave ${name} ${article(giftColour)} ${gift}.`,
        `What did ${friend} give ${name}?`,
      );
      ask('colour', `The ${gift} was ${giftColour}.`, `What colour was the ${gift}?`);
    }
  }
  if (has()) {
    sentences.push(`First they ${first}. Then they ${last}.`);
    ask('first', `First they ${first}.`, 'What did they do first?', 'What came first?');
    ask('last', `Then they ${last}.`, 'What did they do then?', 'What did they do last?');
  }
  if (has()) {
    sentences.push(`In the end ${name} was ${feeling}.`);
    ask('feeling', `${name} was ${feeling}.`, `How was ${name} in the end?`, `How did ${name} feel?`);
  }
  return {
    key: `${name} ${animal} ${many}`,
    request: pick(random, [
      `Tell me a story about ${article(animal)} called ${name}.`,
      `Tell a story about ${name} the ${animal}.`,
      `Tell me about ${name} the ${animal}.`,
    ]),
    text: sentences.join(' '),
    questions,
  };
}
