import { isSpanContextValid, trace, TraceFlags } from '@opentelemetry/api';
import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino';
import { type LogFields, printable } from './log-fields.ts';

/** pino's levels, least urgent first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Writes JSON lines. Messages are constant text; what varies is a field listed in `names.ts`. */
export interface Logger {
  trace(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  fatal(fields: LogFields, message: string): void;
  /** A logger whose every line also carries `fields`. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** On every line: version, instance, … */
  readonly base: LogFields;
  /** Default: standard output, written synchronously, so that a crash or an exit loses no line. */
  readonly destination?: DestinationStream;
}

/**
 * A JSON logger that prints the fields of `names.ts` and redacts all others. Lines written inside a sampled span
 * carry its `trace_id` and `span_id`.
 */
export function createLogger({ level, base, destination: stream }: LoggerOptions): Logger {
  const options = {
    level,
    base: printable(base),
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    mixin: activeSpanFields,
    // pino's own would describe an error anew, from what `printable` made of it.
    serializers: { err: (described: unknown) => described },
  };
  return wrap(pino(options, stream ?? destination({ dest: 1, sync: true })));
}

function wrap(lines: pino.Logger): Logger {
  const log =
    (level: Exclude<LogLevel, 'silent'>) =>
    (fields: LogFields, message: string): void => {
      if (lines.isLevelEnabled(level)) lines[level](printable(fields), message);
    };
  return {
    trace: log('trace'),
    debug: log('debug'),
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
    fatal: log('fatal'),
    child: fields => wrap(lines.child(printable(fields))),
  };
}

function activeSpanFields(): object {
  const span = trace.getActiveSpan()?.spanContext();
  if (span === undefined || !isSpanContextValid(span) || !(span.traceFlags & TraceFlags.SAMPLED)) return {};
  return { trace_id: span.traceId, span_id: span.spanId };
}
