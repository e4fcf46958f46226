import { ShishuError } from '../src/errors.ts';

export type Field = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

export const fieldOf = (form: HTMLFormElement, name: string): Field => form.elements.namedItem(name) as Field;

let marking = true;

/** Reads a form that is still being written in: no field is marked, and the focus stays where it is. */
export function readQuietly<T>(read: () => T): T {
  marking = false;
  try {
    return read();
  } finally {
    marking = true;
  }
}

/** Marks a field as wrong, and puts the focus there. */
export function markField(field: Field): void {
  if (!marking) return;
  field.setAttribute('aria-invalid', 'true');
  field.closest('details')?.setAttribute('open', '');
  field.focus();
}

export function unmarkFields(form: HTMLFormElement): void {
  for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
}

/** Marks a field and says what is wrong with it. */
export function refuseField(field: Field, message: string): never {
  markField(field);
  throw new ShishuError('bad-argument', message);
}
