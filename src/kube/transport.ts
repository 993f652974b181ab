import type { IncomingHttpHeaders } from 'node:http';
import { type Dispatcher, Pool } from 'undici';

export interface TlsMaterial {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly passphrase?: string;
  readonly rejectUnauthorized?: boolean;
  readonly servername?: string;
}

export interface WireRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly signal: AbortSignal;
  /** See `KubeRequest.beforeSend`. */
  readonly beforeSend: (() => void) | undefined;
}

export interface WireReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Leaving the loop early destroys the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Transport {
  send(request: WireRequest): Promise<WireReply>;
  /** Lets what is in flight end by itself; nothing new is taken. */
  retire(): void;
  destroy(): Promise<void>;
}

/** Go servers close idle connections after 90 s; letting go first avoids sending into a closing one. */
const KEEP_ALIVE_MS = 55_000;
const TCP_KEEP_ALIVE_AFTER_MS = 30_000;

/**
 * Keep-alive HTTP/1.1 connections to one server. Not HTTP/2: a session that goes silent is never replaced when
 * requests on it are aborted by signal, and all watches would share it (kubernetes-client.md §3.2). Redirects
 * are not followed. Time limits are the caller's, by `signal`, which destroys the connection.
 *
 * @param connections at most so many; null: one per request in flight, for watches.
 */
export function createTransport(origin: string, tls: TlsMaterial, connections: number | null): Transport {
  const pool = new Pool(origin, {
    connections,
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: { ...(tls as object), keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_AFTER_MS },
  });
  return {
    async send({ method, path, headers, body, signal, beforeSend }) {
      signal.throwIfAborted();
      const dispatcher = beforeSend === undefined ? pool : pool.compose(startingWith(beforeSend));
      const reply = await unlessAborted(
        dispatcher.request({ method, path, headers, signal, body: body ?? null }),
        signal,
      );
      return { status: reply.statusCode, headers: reply.headers, body: reply.body };
    },
    retire() {
      // Rejects only when destroyed meanwhile, which is just as well.
      pool.close().catch(() => undefined);
    },
    destroy: () => pool.destroy(),
  };
}

/** When a request starts, its connection stands and nothing is written yet. undici takes a throw as its failure. */
function startingWith(check: () => void): Dispatcher.DispatcherComposeInterceptor {
  return dispatch => (options, handler) =>
    dispatch(options, {
      onRequestStart(controller, context) {
        check();
        handler.onRequestStart?.(controller, context);
      },
      onResponseStart: (...args) => handler.onResponseStart?.(...args),
      onResponseData: (...args) => handler.onResponseData?.(...args),
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    });
}

/** undici heeds the signal only once a connection stands; nobody shall wait for that, least of all when none will. */
function unlessAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(signal.reason);
    const settle = (): void => signal.removeEventListener('abort', giveUp);
    signal.addEventListener('abort', giveUp, { once: true });
    pending.then(resolve, reject).finally(settle);
  });
}
