import type { ConsulReply } from './reply.ts';
import type { BlockingParams, CallOptions, ReadOptions } from './types.ts';

/** One call of one endpoint. */
export interface ConsulRequest<T> {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** `/v1/kv/{key}`: its name in spans, metrics and messages. */
  readonly template: string;
  /** The path itself, encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | true | undefined>>;
  /** A string is JSON. Never a stream: Consul reads some bodies only with a Content-Length. */
  readonly body?: string | Buffer;
  /** Whether the body holds users' values: then nothing that the server says about it is quoted, it may be an echo. */
  readonly confidential?: boolean;
  /** Whether it changes Consul; only then can its outcome be unknown. Some reads are PUTs. */
  readonly writes: boolean;
  /** Whether twice is as good as once, so that it may be sent again after an unclear failure. Default: reads. */
  readonly repeatable?: boolean;
  /** Statuses that are answers. Default: 200 alone. */
  readonly answers?: readonly number[];
  readonly block?: BlockingParams | undefined;
  /** @throws ConsulError when the answer cannot be Consul's. */
  readonly parse: (reply: ConsulReply) => T;
}

/**
 * Sends a request within its deadline, with the token of the moment, and to the next address where that is safe.
 *
 * @throws AbortedError when the caller's signal aborts.
 * @throws RetryableError, ConflictError, TerminalError as classified in `errors.ts`.
 */
export type SendRequest = <T>(request: ConsulRequest<T>, options: CallOptions) => Promise<T>;

type GetRequest<T> = Pick<ConsulRequest<T>, 'template' | 'path' | 'query' | 'answers' | 'parse'>;

/** Sends a plain read, as consistent and as patient as `options` wants it. */
export function sendGet<T>(send: SendRequest, request: GetRequest<T>, options: ReadOptions): Promise<T> {
  const query = { ...request.query, ...consistencyOf(options) };
  return send({ ...request, method: 'GET', writes: false, query, block: options.block }, options);
}

/** `default` is the absence of both; to send both is an error. */
export function consistencyOf({ consistency }: ReadOptions): { consistent?: true; stale?: true } {
  if (consistency === 'consistent') return { consistent: true };
  return consistency === 'stale' ? { stale: true } : {};
}
