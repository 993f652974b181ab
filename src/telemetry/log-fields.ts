import { LOG_FIELDS, type LogField } from './names.ts';

/** What a log field may hold. `err` takes anything that was thrown. */
type LogValue = string | number | bigint | boolean | undefined | readonly (string | number)[];
export type LogFields = Readonly<Partial<Record<Exclude<LogField, 'err'>, LogValue>>> & {
  readonly err?: unknown;
};

const REDACTED = '[redacted]';
const MAX_TEXT_CHARS = 2048;
const MAX_LIST_ITEMS = 100;
const MAX_STACK_LINES = 20;
const MAX_CAUSES = 5;

/**
 * What may be printed of `fields`: plain values of the fields listed in `names.ts`. The rest becomes
 * `[redacted]`. An allow-list, because a deny-list has to know every name under which a token or a value can come.
 */
export function printable(fields: object): Record<string, unknown> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, printableValue(name, value)]));
}

function printableValue(name: string, value: unknown): unknown {
  if (!Object.hasOwn(LOG_FIELDS, name)) return REDACTED;
  if (name === 'err') return describeError(value);
  if (!Array.isArray(value)) return printableScalar(value);
  const items = value.slice(0, MAX_LIST_ITEMS).map(printableScalar);
  return value.length > MAX_LIST_ITEMS ? [...items, `… ${value.length - MAX_LIST_ITEMS} more`] : items;
}

function printableScalar(value: unknown): unknown {
  if (typeof value === 'string') return cut(value);
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'number' || typeof value === 'boolean' || value === null ? value : REDACTED;
}

interface DescribedError {
  readonly type: string;
  readonly code?: string | number;
  readonly reason?: string;
  readonly message?: string;
  readonly stack?: string;
  readonly cause?: DescribedError;
}

/**
 * Of an error only what is known to be harmless: never the properties libraries hang on it (bodies, headers,
 * options), and no message of a SyntaxError, in which `JSON.parse` quotes its input.
 */
function describeError(thrown: unknown, depth = 0): DescribedError {
  if (!(thrown instanceof Error)) return { type: typeof thrown };
  const { name, message, stack } = thrown;
  const { code, reason } = thrown as { code?: unknown; reason?: unknown };
  const cause = thrown.cause ?? (thrown instanceof AggregateError ? thrown.errors[0] : undefined);
  return {
    type: name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
    message: thrown instanceof SyntaxError ? REDACTED : cut(message),
    ...(stack === undefined ? {} : { stack: framesOf(stack) }),
    ...(cause === undefined || depth === MAX_CAUSES ? {} : { cause: describeError(cause, depth + 1) }),
  };
}

/** The frames alone: a stack begins with the message, which was dealt with above. */
function framesOf(stack: string): string {
  const frames = stack.split('\n').filter(line => /^ {4}at /.test(line));
  return frames.slice(0, MAX_STACK_LINES).join('\n');
}

function cut(text: string): string {
  return text.length <= MAX_TEXT_CHARS ? text : `${text.slice(0, MAX_TEXT_CHARS)}…`;
}
