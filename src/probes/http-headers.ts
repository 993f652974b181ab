import type { HttpTarget } from './spec.ts';
import { authorityOf } from './spec.ts';

/** They say how the message is framed and what becomes of the connection, which is not for a check to say. */
const NOT_FOR_CHECKS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Their values are no secrets, and masking them would only make the output hard to read. */
const PUBLIC: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'content-type',
  'host',
  'user-agent',
]);

/** Shorter values of a query are switches and numbers, and occur anywhere. */
const MIN_QUERY_VALUE_CHARS = 4;
/** Shorter parts of a secret are words that occur anywhere. */
const MIN_PART_CHARS = 8;

/** What goes out: the declared headers but those of framing, and what a Consul agent adds where they are silent. */
export function requestHeaders(target: HttpTarget): Record<string, string | string[]> {
  const declared = Object.entries(target.headers).filter(([name]) => !NOT_FOR_CHECKS.has(name.toLowerCase()));
  const names = new Set(declared.map(([name]) => name.toLowerCase()));
  const added = {
    host: hostHeader(target),
    'user-agent': 'Consul Health Check',
    accept: 'text/plain, text/*, */*',
  };
  return Object.fromEntries([
    ...Object.entries(added).filter(([name]) => !names.has(name)),
    ...declared.map(([name, values]) => [
      name,
      name.toLowerCase() === 'host' ? (values[0] ?? '') : [...values],
    ]),
    // Node leaves it out for a GET, whose body would then be read as the next request.
    ...(target.body === '' ? [] : [['content-length', String(Buffer.byteLength(target.body))]]),
  ]);
}

function hostHeader(target: HttpTarget): string {
  const isDefault = target.port === (target.tls === undefined ? 80 : 443);
  return isDefault ? authorityOf(target).replace(/:\d+$/, '') : authorityOf(target);
}

/** What of a request a target could repeat in its answer and nobody else should see, the longest first. */
export function secretsOf(target: HttpTarget): readonly string[] {
  const values = Object.entries(target.headers)
    .filter(([name]) => !PUBLIC.has(name.toLowerCase()))
    .flatMap(([, all]) => all);
  const said = [...values, target.body].map(value => value.trim()).filter(value => value !== '');
  const whole = [...said, ...queryValues(target.path)];
  const parts = whole
    .flatMap(value => value.split(/[\s,;="]+/))
    .filter(part => part.length >= MIN_PART_CHARS);
  return [...new Set([...whole, ...parts])].sort((a, b) => b.length - a.length);
}

/** A query as a whole and what it sets, as written and as a target reads it. */
function queryValues(path: string): readonly string[] {
  const [, query = ''] = /[?#](.*)$/s.exec(path) ?? [];
  const values = query.split(/[&;?#]/).map(pair => pair.slice(pair.indexOf('=') + 1));
  return [query, ...values.flatMap(value => [value, decoded(value)])].filter(
    value => value.length >= MIN_QUERY_VALUE_CHARS,
  );
}

function decoded(value: string): string {
  const spaced = value.replaceAll('+', ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
