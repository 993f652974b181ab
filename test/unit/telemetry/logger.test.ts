import { describe, expect, test } from 'vitest';
import { RetryableError } from '../../../src/core/errors.ts';
import { createLogger, LOG_LEVELS, type Logger, type LogLevel } from '../../../src/telemetry/logger.ts';

const CANARY = 'c4n4ry-s3cr3t';

interface Line {
  readonly [field: string]: unknown;
  readonly err: {
    readonly type: string;
    readonly stack: string;
    readonly cause: { readonly code: string };
  };
}

function aLogger(level: LogLevel = 'trace') {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const logger: Logger = createLogger({ level, base: { version: '1.2.3' }, destination });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? 'null') as Line };
}

describe('a line', () => {
  test('is JSON with level, ISO time, base fields, own fields and message', () => {
    const { logger, last } = aLogger();
    logger.child({ kind: 'ConsulKV' }).info({ name: 'orders', fields: ['a', 'b'], count: 3 }, 'reconciled');
    const { time, ...rest } = last();
    expect(rest).toEqual({
      level: 'info',
      version: '1.2.3',
      kind: 'ConsulKV',
      name: 'orders',
      fields: ['a', 'b'],
      count: 3,
      msg: 'reconciled',
    });
    expect(new Date(String(time)).toISOString()).toBe(time);
  });

  test('is left out under the level', () => {
    const { logger, lines } = aLogger('warn');
    logger.info({}, 'quiet');
    logger.warn({}, 'loud');
    expect(lines).toHaveLength(1);
  });

  test('leaves out what is undefined', () => {
    const { logger, last } = aLogger();
    logger.info({ reason: undefined }, 'm');
    expect(last()).not.toHaveProperty('reason');
  });

  test('cuts a long text and a long list', () => {
    const { logger, last } = aLogger();
    logger.info({ detail: 'x'.repeat(5_000), fields: Array.from({ length: 500 }, () => 'f') }, 'm');
    expect(last().detail).toHaveLength(2049);
    expect(last().fields).toHaveLength(101);
  });

  test('writes a bigint as text', () => {
    const { logger, last } = aLogger();
    logger.info({ index: 18446744073709551615n }, 'm');
    expect(last().index).toBe('18446744073709551615');
  });
});

describe('an error', () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const error = new RetryableError('Consul is away', {
    code: 'CONSUL_TIMEOUT',
    reason: 'ConsulUnreachable',
    cause,
  });

  test('shows type, code, reason, message, frames and the chain of causes', () => {
    const { logger, last } = aLogger();
    logger.error({ err: error }, 'failed');
    expect(last().err).toMatchObject({
      type: 'RetryableError',
      code: 'CONSUL_TIMEOUT',
      reason: 'ConsulUnreachable',
      message: 'Consul is away',
      cause: { type: 'Error', code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' },
    });
    expect(last().err.stack).toMatch(/^ {4}at /);
  });

  test('that is its own cause ends', () => {
    const { logger, last } = aLogger();
    const circular = new Error('again');
    circular.cause = circular;
    logger.error({ err: circular }, 'failed');
    expect(JSON.stringify(last()).match(/"again"/g)).toHaveLength(6);
  });

  test('of several shows the first', () => {
    const { logger, last } = aLogger();
    logger.error({ err: new AggregateError([cause]) }, 'failed');
    expect(last().err.cause.code).toBe('ECONNREFUSED');
  });

  test('of JSON.parse keeps to itself the text it quotes', () => {
    const { logger, lines } = aLogger();
    expect(() => {
      try {
        JSON.parse(`{"token":${CANARY}`);
      } catch (err) {
        logger.error({ err }, 'failed');
        throw err;
      }
    }).toThrow(CANARY.slice(0, 4));
    expect(lines.join('')).not.toContain(CANARY.slice(0, 4));
  });
});

describe('a secret', () => {
  /** As a careless caller would log it, past the types. */
  const careless = (): object[] => {
    const names = [
      'token',
      'Token',
      'authorization',
      'Authorization',
      'X-Consul-Token',
      'password',
      'secret',
      'value',
      'Value',
      'data',
      'stringData',
      'binaryData',
      'body',
      'headers',
      'request',
      'response',
      'env',
      'config',
      'spec',
      'object',
      'cookie',
      'apiKey',
      'session',
      'kubeconfig',
      'content',
      'msg2',
      '__proto__x',
    ];
    const flat = names.map(name => ({ [name]: CANARY }));
    const deep = ['reason', 'key', 'component', 'fields', ...names].flatMap(name => [
      { [name]: { token: CANARY } },
      { [name]: { nested: { deeper: [{ value: CANARY }] } } },
      { [name]: [{ token: CANARY }] },
      { [name]: Buffer.from(CANARY) },
      { [name]: [[CANARY]] },
      { [name]: new Map([['token', CANARY]]) },
      { [name]: { toJSON: (): string => CANARY } },
      { [name]: { toString: () => CANARY } },
    ]);
    const hung = {
      body: CANARY,
      headers: { authorization: CANARY },
      token: CANARY,
      options: { value: CANARY },
    };
    const error = Object.assign(
      new Error('refused', { cause: Object.assign(new Error('inner'), hung) }),
      hung,
    );
    return [
      ...flat,
      ...deep,
      { err: error },
      { err: hung },
      { err: CANARY },
      { err: new AggregateError([error]) },
    ];
  };

  test.each(LOG_LEVELS.filter(level => level !== 'silent'))(
    'never appears, logged at %s or bound to a child',
    level => {
      const { logger, lines } = aLogger();
      const all = careless();
      for (const fields of all) {
        logger[level](fields, 'm');
        logger.child(fields)[level]({}, 'm');
      }
      expect(lines).toHaveLength(2 * all.length);
      const text = lines.join('');
      expect(text).not.toContain(CANARY);
      expect(text).not.toContain(Buffer.from(CANARY).toString('base64'));
      expect(text).not.toContain([...Buffer.from(CANARY)].join());
    },
  );

  test('never appears in the base fields', () => {
    const lines: string[] = [];
    const base = { token: CANARY } as object;
    createLogger({ level: 'info', base, destination: { write: line => void lines.push(line) } }).info(
      {},
      'm',
    );
    expect(lines.join('')).toContain('"token":"[redacted]"');
  });
});
