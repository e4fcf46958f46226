import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Which } from '../../src/bench.ts';
import { el } from '../chat/dom.ts';

/** A median with its quartiles at one x. */
export interface PlotPoint {
  model: Which;
  x: number;
  y: number;
  low: number;
  high: number;
}

const color = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** The colours of the two models at this moment, light or dark. */
const colors = (): [parent: string, child: string] => [color('--parent'), color('--child')];
const clear = (css: string): string => `color-mix(in srgb, ${css} 18%, transparent)`;

const live = new Set<uPlot>();

/** Frees the plots that `figureOf` made; their elements are to be replaced. */
export function clearPlots(): void {
  for (const plot of live) plot.destroy();
  live.clear();
}

function figureOf(
  title: string,
  note: string | Node,
  options: Omit<uPlot.Options, 'width' | 'height'>,
  data: uPlot.AlignedData,
): HTMLElement {
  const place = el('div', {
    class: 'plot',
    role: 'img',
    'aria-label': `${title}: the table has the figures`,
  });
  const figure = el('figure', {}, el('figcaption', {}, title, el('small', {}, note)), place);
  const size = (): { width: number; height: number } => ({
    width: Math.max(200, place.clientWidth),
    height: Math.max(160, place.clientHeight),
  });
  // The plot needs its place's width, which it has only in the page.
  let plot: uPlot | undefined;
  new ResizeObserver((_, observer) => {
    if (!place.isConnected) {
      observer.disconnect();
      return;
    }
    if (plot) plot.setSize(size());
    else {
      plot = new uPlot({ ...size(), ...options }, data, place);
      live.add(plot);
    }
  }).observe(place);
  return figure;
}

function axis(label: string): uPlot.Axis {
  return {
    label,
    labelSize: label ? 20 : 0,
    labelFont: '12px system-ui',
    font: '12px system-ui',
    stroke: color('--muted'),
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
  };
}

/** Lines of parent and child with their quartiles as bands, from zero up. */
export function lines(
  title: string,
  note: string,
  xLabel: string,
  yLabel: string,
  points: readonly PlotPoint[],
): HTMLElement {
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const column = (model: Which, value: (point: PlotPoint) => number): (number | null)[] =>
    xs.map((x) => {
      const point = points.find((p) => p.model === model && p.x === x);
      return point ? value(point) : null;
    });
  const data: (number | null)[][] = [xs];
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  colors().forEach((stroke, i) => {
    const model = i as Which;
    data.push(
      column(model, (p) => p.y),
      column(model, (p) => p.low),
      column(model, (p) => p.high),
    );
    const edge: uPlot.Series = { stroke: 'transparent', points: { show: false } };
    series.push({ stroke, width: 2, points: { show: true, size: 7, fill: stroke } }, edge, edge);
    bands.push({ series: [3 * model + 3, 3 * model + 2], fill: clear(stroke) });
  });
  return figureOf(
    title,
    note,
    {
      legend: { show: false },
      cursor: { show: false },
      series,
      bands,
      scales: {
        x: { time: false, range: (_, min, max) => [min === max ? 0 : min, min === max ? 2 * max : max] },
        y: { range: (_, min, max) => [Math.min(0, min * 1.1), (max || 1) * 1.1] },
      },
      axes: [
        { ...axis(xLabel), size: 28, splits: () => thin(xs) },
        { ...axis(yLabel), size: 56 },
      ],
    },
    data as uPlot.AlignedData,
  );
}

/** Few enough numbers that their texts do not run into each other. */
function thin(xs: readonly number[]): number[] {
  const span = xs.at(-1)! - xs[0]!;
  const kept: number[] = [];
  for (const x of xs) if (kept.length === 0 || x - kept.at(-1)! > span / 12) kept.push(x);
  return kept;
}

/** Bars, one or two side by side a category, the first in the parent's colour; from zero up, or down. */
export function bars(
  title: string,
  note: string | Node,
  yLabel: string,
  rows: readonly { label: string; pair: readonly [number] | readonly [number, number] }[],
  xLabel: string,
): HTMLElement {
  const xs = rows.map((_, i) => i);
  const [parent, child] = colors();
  const two = rows[0]?.pair.length === 2;
  const words = rows.length > 4 && rows.some(({ label }) => label.length > 3);
  // Names are slanted, and numbers left out, so that they do not run into each other.
  const every = words ? 1 : Math.ceil(rows.length / 12);
  const bar = (stroke: string, align: -1 | 0 | 1): uPlot.Series => ({
    stroke,
    fill: stroke,
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars!({ size: [0.36, 40], align }),
  });
  return figureOf(
    title,
    note,
    {
      legend: { show: false },
      cursor: { show: false },
      series: two ? [{}, bar(parent, -1), bar(child, 1)] : [{}, bar(parent, 0)],
      scales: {
        x: { time: false, range: [-0.5, Math.max(0.5, rows.length - 0.5)] },
        y: { range: (_, min, max) => [Math.min(0, min * 1.1), (max > 0 ? max : min < 0 ? 0 : 1) * 1.1] },
      },
      axes: [
        {
          ...axis(xLabel),
          grid: { show: false },
          splits: () => xs,
          values: () => rows.map(({ label }, i) => (i % every ? '' : label)),
          rotate: words ? 40 : 0,
          size: words ? 84 : 28,
        },
        { ...axis(yLabel), size: 56 },
      ],
    },
    [xs, rows.map(({ pair }) => pair[0]), ...(two ? [rows.map(({ pair }) => pair[1]!)] : [])],
  );
}

/** A line that grows while something runs. */
export interface LivePlot {
  element: HTMLElement;
  /** @param lastX what the axis is to reach, where it is known */
  update(points: readonly (readonly [x: number, y: number])[], note?: string, lastX?: number): void;
  /** Draws anew, in the colours of this moment. */
  redraw(): void;
}

/** One line in the colour of parent or child, hidden until it has a point; x begins at zero, y where the line needs it. */
export function livePlot(title: string, xLabel: string, yLabel: string, of: 'parent' | 'child'): LivePlot {
  const place = el('div', { class: 'plot', role: 'img', 'aria-label': title });
  const small = el('small', {});
  const element = el('figure', { hidden: true }, el('figcaption', {}, title, small), place);
  let data: uPlot.AlignedData = [[], []];
  let end = 0;
  let plot: uPlot | undefined;
  const draw = (): void => {
    const size = { width: Math.max(200, place.clientWidth), height: Math.max(160, place.clientHeight) };
    plot?.setSize(size);
    if (plot || !place.isConnected || element.hidden) return;
    const stroke = color(`--${of}`);
    const options: uPlot.Options = {
      ...size,
      legend: { show: false },
      cursor: { show: false },
      series: [{}, { stroke, width: 2, points: { show: data[0].length < 40, size: 6, fill: stroke } }],
      scales: {
        x: { time: false, range: (_, __, max) => [0, Math.max(end, max ?? 0) || 1] },
        y: { range: (_, min, max) => padded(min ?? 0, max ?? 1) },
      },
      axes: [
        // Blocks and tokens are whole.
        { ...axis(xLabel), size: 28, incrs: WHOLE },
        { ...axis(yLabel), size: 56 },
      ],
    };
    plot = new uPlot(options, data, place);
  };
  new ResizeObserver(draw).observe(place);
  return {
    element,
    update(points, note = '', lastX = 0) {
      small.textContent = note;
      element.hidden = points.length === 0;
      data = [points.map(([x]) => x), points.map(([, y]) => y)];
      end = lastX;
      place.setAttribute(
        'aria-label',
        points.length > 0 ? `${title}: ${points.at(-1)![1].toPrecision(3)} now` : title,
      );
      if (plot) plot.setData(data);
      else draw();
    },
    redraw() {
      plot?.destroy();
      draw();
    },
  };
}

/** Steps of an axis of whole numbers. */
const WHOLE = Array.from({ length: 10 }, (_, i) => 10 ** i).flatMap((ten) => [ten, 2 * ten, 5 * ten]);

/** A range with some air, from zero where zero is near, or where values hardly differ. */
function padded(min: number, max: number): [number, number] {
  const air = 0.1 * (max - min) || 0.1 * Math.abs(max) || 0.1;
  const low = min >= 0 && (min < 0.35 * max || max - min < 0.05 * max) ? 0 : min - air;
  return [Math.min(low, min), max + air];
}
