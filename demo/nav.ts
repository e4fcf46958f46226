import { keepPages } from './installed.ts';
import { pageLink } from './profile.ts';

/** The pages of the demo; a page that is added gets a line here. */
const PAGES = [
  { file: 'index.html', label: 'Chat' },
  { file: 'bench.html', label: 'Benchmark' },
  { file: 'train.html', label: 'Train' },
  { file: 'convert.html', label: 'Convert' },
];

/** Links to the other pages, in the header's `<nav hidden>`; it stays hidden while there is one page. */
export function showPages(nav: HTMLElement): void {
  const here = location.pathname.split('/').at(-1) || 'index.html';
  for (const { file, label } of PAGES) {
    const link = document.createElement('a');
    link.href = pageLink(file);
    link.textContent = label;
    if (file === here) link.setAttribute('aria-current', 'page');
    nav.append(link);
  }
  nav.hidden = PAGES.length < 2;
  void keepPages();
}
