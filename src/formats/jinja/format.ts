// Python's two ways to format: `'%s' % value` and `'{}'.format(value)`.
import { describe, isNumber, numberOf, repr, str, Tuple, typeOf, type Value } from './values.ts';

interface Style {
  fill: string;
  align: string;
  sign: string;
  width: number;
  comma: boolean;
  precision: number | undefined;
  type: string;
}

function digits(value: bigint | number, { type, precision, comma }: Style): string {
  const radix = { x: 16, X: 16, o: 8, b: 2 }[type];
  let text: string;
  if (radix) text = BigInt(value).toString(radix);
  else if (type === 'f' || type === 'F') text = Number(value).toFixed(precision ?? 6);
  else if (type === 'e') {
    text = Number(value)
      .toExponential(precision ?? 6)
      .replace(/e([+-])(\d)$/, 'e$10$2');
  } else if (type === '%') text = `${(Number(value) * 100).toFixed(precision ?? 6)}%`;
  else if (type === 'd') text = String(BigInt(Math.trunc(Number(value))) === BigInt(0) ? 0 : BigInt(value));
  else text = precision === undefined ? str(value) : str(Number(Number(value).toPrecision(precision || 1)));
  if (type === 'X') text = text.toUpperCase();
  return comma
    ? text.replace(/^(-?)(\d+)/, (_, sign, whole) => sign + whole.replace(/\B(?=(\d{3})+$)/g, ','))
    : text;
}

function styled(value: Value, style: Style): string {
  const { fill, align, sign, width, precision, type } = style;
  const number = isNumber(value) && (type !== '' || typeof value !== 'boolean') && type !== 's';
  let text = number ? digits(numberOf(value), style) : str(value);
  if (!number && type && type !== 's')
    throw new TypeError(`${describe(value)} cannot be written as "${type}"`);
  if (!number && precision !== undefined) text = Array.from(text).slice(0, precision).join('');
  const minus = number && text.startsWith('-') ? '-' : number && sign !== '-' ? sign : '';
  const rest = text.startsWith('-') && number ? text.slice(1) : text;
  const room = Math.max(0, width - Array.from(minus + rest).length);
  const before =
    align === '<'
      ? 0
      : align === '^'
        ? Math.floor(room / 2)
        : align === '=' || align === '>'
          ? room
          : number
            ? room
            : 0;
  const [left, right] = [fill.repeat(before), fill.repeat(room - before)];
  return align === '=' ? minus + left + rest : left + minus + rest + right;
}

/** `{:spec}` */
function withSpec(value: Value, spec: string): string {
  const found = /^(?:(.)?([<>=^]))?([-+ ]?)(0?)(\d*)(,?)(?:\.(\d+))?([a-zA-Z%]?)$/u.exec(spec);
  if (!found) throw new TypeError(`"${spec}" is no format`);
  const [, fill, align = '', sign = '', zero, width, comma, precision, type = ''] = found;
  return styled(value, {
    fill: fill ?? (zero ? '0' : ' '),
    align: align || (zero ? '=' : ''),
    sign,
    width: Number(width),
    comma: comma === ',',
    precision: precision === undefined ? undefined : Number(precision),
    type,
  });
}

/** `text.format(...)` */
export function formatFields(
  text: string,
  args: readonly Value[],
  named: ReadonlyMap<string, Value>,
): string {
  let next = 0;
  return text.replace(
    /\{\{|\}\}|\{([^{}!:]*)(?:!([rs]))?(?::([^{}]*))?\}/g,
    (whole, field: string | undefined, conversion: string | undefined, spec = '') => {
      if (field === undefined) return whole[0]!;
      const [name = '', ...path] = field.split(/[.[]/).map((each) => each.replace(/\]$/, ''));
      let value = /^\d*$/.test(name) ? args[name === '' ? next++ : Number(name)] : named.get(name);
      for (const key of path) {
        const from: Value | undefined = value;
        value = from instanceof Map ? from.get(key) : Array.isArray(from) ? from[Number(key)] : undefined;
      }
      if (value === undefined) throw new TypeError(`the format's "${field}" is not given`);
      return withSpec(conversion === 'r' ? repr(value) : value, spec);
    },
  );
}

/** `text % values` */
export function formatPercent(text: string, values: Value): string {
  const list = values instanceof Tuple ? values : [values];
  let next = 0;
  const formatted = text.replace(
    /%(?:\(([^)]*)\))?([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (
      _,
      name: string | undefined,
      flags: string,
      width: string,
      precision: string | undefined,
      type: string,
    ) => {
      if (type === '%') return '%';
      const value = name === undefined ? list[next++] : values instanceof Map ? values.get(name) : undefined;
      if (value === undefined) throw new TypeError('there are too few values to format');
      const left = flags.includes('-');
      const zero = flags.includes('0') && !left;
      return styled(type === 'r' ? repr(value) : value, {
        fill: zero ? '0' : ' ',
        align: left ? '<' : zero ? '=' : '>',
        sign: /[+ ]/.exec(flags)?.[0] ?? '',
        width: Number(width),
        comma: false,
        precision: precision === undefined ? undefined : Number(precision),
        type: type === 'r' ? 's' : type === 'i' || type === 'u' ? 'd' : type,
      });
    },
  );
  // Python counts tuples and plain values, and not what can be looked up in.
  const counted = values instanceof Tuple || ['str', 'int', 'float', 'bool', 'None'].includes(typeOf(values));
  if (counted && next < list.length) throw new TypeError('there are too many values to format');
  return formatted;
}
