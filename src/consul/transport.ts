/**
 * HTTP/1.1 to Consul on undici: its connections, and one exchange over them. Knows nothing of what is asked.
 *
 * Not HTTP/2: on a silently dropped connection a session keeps hanging after a request on it was aborted, while
 * HTTP/1.1 throws the socket away and the next request opens another.
 */
import { buildConnector, type Dispatcher, Pool } from 'undici';
import type { Clock } from '../core/clock.ts';
import type { ConsulAddress } from './address.ts';
import { type TlsFiles, TlsLoader, type TlsSettings } from './tls.ts';

export interface WireRequest {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | Buffer | undefined;
  readonly maxReplyBytes: number;
  readonly signal: AbortSignal;
  /** See `CallOptions.beforeSend`. */
  readonly beforeSend: (() => void) | undefined;
}

export interface WireReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  readonly elapsedMs: number;
}

/** No complete answer came. */
export class WireFailure extends Error {
  /** Whether any byte of the request may have reached the server. */
  readonly sent: boolean;
  readonly tooLarge: boolean;

  constructor(cause: unknown, sent: boolean) {
    super('no complete answer', { cause });
    this.sent = sent;
    this.tooLarge = cause instanceof ReplyTooLarge;
  }
}

class ReplyTooLarge extends Error {}

const CONNECT_TIMEOUT_MS = 3000;

/** Less than Consul's 120 s: what is sent while the other side closes is lost. */
const KEEP_ALIVE_MS = 30_000;

/** The connections of one kind of requests, to one address at a time. */
export class Connections {
  readonly #limit: number;
  readonly #connect: buildConnector.connector;
  readonly #left = new Set<Pool>();
  #pool: { readonly origin: string; readonly dispatcher: Pool } | undefined;

  constructor(limit: number, tls: TlsFiles) {
    this.#limit = limit;
    this.#connect = connector(tls);
  }

  /**
   * Sends one request and collects its answer, whatever its status.
   * @throws WireFailure; or what `beforeSend` throws, and then nothing was sent.
   */
  exchange(address: ConsulAddress, request: WireRequest, clock: Clock): Promise<WireReply> {
    return new Promise((resolve, reject) => {
      if (request.signal.aborted) throw new WireFailure(request.signal.reason, false);
      const exchange = new Exchange(request, clock, resolve, reject);
      const { method, path, headers, body = null } = request;
      this.#poolOf(address).dispatch({ method, path: address.basePath + path, headers, body }, exchange);
    });
  }

  /** Breaks off what is under way. */
  async close(): Promise<void> {
    const pools = [...this.#left, ...(this.#pool === undefined ? [] : [this.#pool.dispatcher])];
    await Promise.all(pools.map(pool => pool.destroy()));
  }

  #poolOf(address: ConsulAddress): Pool {
    if (this.#pool?.origin !== address.origin) {
      if (this.#pool !== undefined) this.#leave(this.#pool.dispatcher);
      this.#pool = { origin: address.origin, dispatcher: this.#createPool(address.origin) };
    }
    return this.#pool.dispatcher;
  }

  /** Idle sockets close at once, the others when their requests end. */
  #leave(pool: Pool): void {
    this.#left.add(pool);
    void pool.close().finally(() => this.#left.delete(pool));
  }

  #createPool(origin: string): Pool {
    return new Pool(origin, {
      connections: this.#limit,
      connect: this.#connect,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      // The caller's deadline covers the whole exchange; these would cut a blocking query short.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }
}

/** undici's own connector, made anew when the TLS files have changed: it keeps sessions to resume. */
function connector(files: TlsFiles): buildConnector.connector {
  const tls = new TlsLoader(files);
  let known: { readonly settings: TlsSettings; readonly connect: buildConnector.connector } | undefined;
  return (options, callback) => {
    tls
      .load()
      .then(settings => {
        if (known?.settings !== settings) {
          const connect = buildConnector({ allowH2: false, timeout: CONNECT_TIMEOUT_MS, ...settings });
          known = { settings, connect };
        }
        known.connect(options, callback);
      })
      .catch((error: Error) => callback(error, null));
  };
}

/** One request and what came back, in undici's callbacks. Its promise settles once, whatever is called after. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: WireRequest;
  readonly #clock: Clock;
  readonly #resolve: (reply: WireReply) => void;
  readonly #reject: (error: unknown) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #headers: WireReply['headers'] = {};
  #sentAt: number | undefined;
  #controller: Dispatcher.DispatchController | undefined;

  constructor(
    request: WireRequest,
    clock: Clock,
    resolve: (reply: WireReply) => void,
    reject: (error: unknown) => void,
  ) {
    this.#request = request;
    this.#clock = clock;
    this.#resolve = resolve;
    this.#reject = reject;
    request.signal.addEventListener('abort', this.#abort, { once: true });
  }

  /** The connection stands and nothing is written yet: the last moment to refuse. undici takes a throw as failure. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#request.signal.throwIfAborted();
    try {
      this.#request.beforeSend?.();
    } catch (error) {
      this.#reject(error);
      throw error;
    }
    this.#controller = controller;
    this.#sentAt = this.#clock.monotonic();
  }

  onResponseStart(_: unknown, status: number, headers: WireReply['headers']): void {
    this.#status = status;
    this.#headers = headers;
    this.#count(0, Number(headers['content-length'] ?? 0));
  }

  onResponseData(_: unknown, chunk: Buffer): void {
    this.#count(chunk.length, 0);
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#finish();
    const elapsedMs = this.#clock.monotonic() - (this.#sentAt ?? 0);
    this.#resolve({
      status: this.#status,
      headers: this.#headers,
      body: Buffer.concat(this.#chunks),
      elapsedMs,
    });
  }

  onResponseError(_: unknown, error: unknown): void {
    this.#finish();
    this.#reject(new WireFailure(error, this.#sentAt !== undefined));
  }

  /** undici answers a throw in a callback by dropping the connection, so an endless body ends here. */
  #count(received: number, announced: number): void {
    this.#bytes += received;
    if (Math.max(this.#bytes, announced) > this.#request.maxReplyBytes) throw new ReplyTooLarge();
  }

  /** Before the request has started there is no controller; then it is refused when undici comes to it. */
  readonly #abort = (): void => {
    const { reason } = this.#request.signal;
    this.#reject(new WireFailure(reason, this.#sentAt !== undefined));
    this.#controller?.abort(reason instanceof Error ? reason : new Error('aborted'));
  };

  #finish(): void {
    this.#request.signal.removeEventListener('abort', this.#abort);
  }
}
