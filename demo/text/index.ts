import { de } from './de.ts';
import { en } from './en.ts';

export type Text = typeof en;
const LANGUAGES = { en, de } as const satisfies Record<string, Text>;
export type Language = keyof typeof LANGUAGES;

const KEY = 'shishulm-language';

/** Texts of the page, in the language that is chosen. */
export let text: Text = en;

const isLanguage = (name: string | null | undefined): name is Language =>
  typeof name === 'string' && Object.hasOwn(LANGUAGES, name);

/** The reader's choice, else the first of the browser's languages that there is. */
export function preferredLanguage(
  chosen: string | null = storedLanguage(),
  wanted: readonly string[] = navigator.languages,
): Language {
  return [chosen, ...wanted.map((name) => name.split('-')[0])].find(isLanguage) ?? 'en';
}

function storedLanguage(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Puts the page into a language. @param keep for the next visit, too */
export function setLanguage(language: Language, keep = false): void {
  text = LANGUAGES[language];
  document.documentElement.lang = language;
  if (keep)
    try {
      localStorage.setItem(KEY, language);
    } catch {
      // Blocked: it holds for this visit.
    }
  const of = (name: string | undefined): string => text.page[name as keyof Text['page']];
  for (const element of document.querySelectorAll<HTMLElement>('[data-text]'))
    element.textContent = of(element.dataset.text);
  for (const element of document.querySelectorAll<HTMLElement>('[data-label]'))
    element.setAttribute('aria-label', of(element.dataset.label));
  for (const element of document.querySelectorAll<HTMLElement>('[data-title]'))
    element.title = of(element.dataset.title);
  for (const element of document.querySelectorAll<HTMLInputElement>('[data-placeholder]'))
    element.placeholder = of(element.dataset.placeholder);
}
