import { keepPages } from './installed.ts';
import { pageLink } from './profile.ts';
import { text } from './text/index.ts';

/** The pages of the demo; a page that is added gets a line here. */
const PAGES = [
  { file: 'index.html', label: 'chat' },
  { file: 'bench.html', label: 'benchmark' },
  { file: 'train.html', label: 'train' },
  { file: 'convert.html', label: 'convert' },
] as const;

/** Links to the other pages, in the header's `<nav hidden>`; it stays hidden while there is one page. */
export function showPages(nav: HTMLElement): void {
  const here = location.pathname.split('/').at(-1) || 'index.html';
  for (const { file, label } of PAGES) {
    const link = document.createElement('a');
    link.href = pageLink(file);
    link.dataset.text = label;
    link.textContent = text.page[label];
    if (file === here) link.setAttribute('aria-current', 'page');
    nav.append(link);
  }
  nav.hidden = PAGES.length < 2;
  void keepPages();
}
