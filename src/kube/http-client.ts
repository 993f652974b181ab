import { Deadline } from '../core/deadline.ts';
import { AbortedError } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { Semaphore } from '../core/semaphore.ts';
import type { Access } from './access.ts';
import type { KubeClient, KubeRequest, RequestReport } from './client.ts';
import { Connections } from './connections.ts';
import { Credentials, type CredentialsOptions } from './credentials.ts';
import { type Asked, errorOfDeadline, errorOfFailure, isOurs, kubeStatus, retryAfterOf } from './errors.ts';
import { readJson, readRefusal } from './reply.ts';
import { traceRequest } from './request-span.ts';
import type { Transport, WireReply, WireRequest } from './transport.ts';
import { wireRequest } from './wire.ts';

export interface KubeClientOptions extends CredentialsOptions {
  readonly userAgent?: string;
  /** Requests in flight at once, watches apart; default 16. */
  readonly maxInFlight?: number;
  /** Largest answer read, in bytes; default 64 MiB. */
  readonly maxReplyBytes?: number;
  readonly onRequest?: (report: RequestReport) => void;
}

/** @throws TerminalError when the kubeconfig cannot be used; the message names the file or field. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  return new HttpKubeClient(options);
}

const DEFAULT_DEADLINE_MS = 30_000;
const DEFAULT_MAX_IN_FLIGHT = 16;
const DEFAULT_MAX_REPLY_BYTES = 64 * 1024 * 1024;
/** A 429 was not carried out, so sending it again is safe, and cheaper than a new turn of the caller. */
const MAX_RESENDS = 3;
const LONGEST_PAUSE_MS = 5_000;

class HttpKubeClient implements KubeClient {
  readonly host: string;
  readonly contextNamespace: string | undefined;
  readonly #options: KubeClientOptions;
  readonly #credentials: Credentials;
  readonly #connections: Connections;
  readonly #places: Semaphore;
  readonly #closing = new AbortController();

  constructor(options: KubeClientOptions) {
    const { maxInFlight = DEFAULT_MAX_IN_FLIGHT } = options;
    this.#options = options;
    this.#credentials = new Credentials(options);
    this.#connections = new Connections(this.#credentials.server.origin, maxInFlight);
    this.#places = new Semaphore(maxInFlight);
    this.host = this.#credentials.server.host;
    this.contextNamespace = this.#credentials.contextNamespace;
  }

  async request<T>(request: KubeRequest): Promise<T> {
    for (let resend = 0; ; resend += 1) {
      try {
        return (await this.#inTurn(request, resend)) as T;
      } catch (error) {
        const pauseMs = kubeStatus(error) === 429 ? retryAfterOf(error) : undefined;
        if (pauseMs === undefined || pauseMs > LONGEST_PAUSE_MS || resend === MAX_RESENDS) throw error;
        await pause(this.#options.clock, pauseMs, request.signal);
      }
    }
  }

  async stream(request: KubeRequest): Promise<AsyncIterable<Uint8Array>> {
    const deadline = this.#startDeadline(request);
    try {
      const reply = await this.#explained(request, deadline, () => this.#open(request, deadline));
      deadline.stopTimer();
      return this.#chunks(request, reply, deadline);
    } catch (error) {
      deadline[Symbol.dispose]();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connections.destroy();
  }

  /** @throws AbortedError when the signal aborts before there is a place. */
  async #inTurn(request: KubeRequest, resend: number): Promise<unknown> {
    const leave = await this.#places.acquire(request.signal);
    try {
      return await this.#attempt(request, resend);
    } finally {
      leave();
    }
  }

  async #attempt(request: KubeRequest, resend: number): Promise<unknown> {
    using deadline = this.#startDeadline(request);
    const { method, path } = request;
    // Awaited, or the deadline would be taken off at once.
    return await traceRequest(
      { method, path, server: this.#credentials.server, resend },
      (traceHeaders, answered) =>
        this.#explained(request, deadline, () =>
          this.#authorised(async access => {
            const wire = this.#wire(request, { ...traceHeaders, ...access.headers }, deadline);
            const reply = await this.#send(this.#connections.plain(access), wire, false);
            answered(reply.status);
            return readJson(
              this.#asked(request),
              reply,
              this.#options.maxReplyBytes ?? DEFAULT_MAX_REPLY_BYTES,
            );
          }),
        ),
    );
  }

  #open(request: KubeRequest, deadline: Deadline): Promise<WireReply> {
    return this.#authorised(async access => {
      const wire = this.#wire(request, access.headers, deadline);
      const reply = await this.#send(this.#connections.watches(access), wire, true);
      if (reply.status !== 200) throw await readRefusal(this.#asked(request), reply);
      return reply;
    });
  }

  async *#chunks(request: KubeRequest, reply: WireReply, deadline: Deadline): AsyncGenerator<Uint8Array> {
    try {
      yield* reply.body;
    } catch (error) {
      throw this.#explain(request, error, deadline);
    } finally {
      deadline[Symbol.dispose]();
    }
  }

  /** Runs `send` again, once, with what the token and certificate files hold by now, when it meets a 401. */
  async #authorised<R>(send: (access: Access) => Promise<R>): Promise<R> {
    const access = await this.#credentials.access();
    try {
      return await send(access);
    } catch (error) {
      if (kubeStatus(error) !== 401) throw error;
      await this.#credentials.renew(access);
      return send(await this.#credentials.access());
    }
  }

  async #send(transport: Transport, wire: WireRequest, watch: boolean): Promise<WireReply> {
    const { clock, onRequest } = this.#options;
    const startedAt = clock.monotonic();
    let code = '<error>';
    try {
      const reply = await transport.send(wire);
      code = String(reply.status);
      return reply;
    } finally {
      const durationMs = clock.monotonic() - startedAt;
      onRequest?.({ code, method: wire.method, host: this.host, durationMs, watch });
    }
  }

  #wire(request: KubeRequest, headers: Readonly<Record<string, string>>, deadline: Deadline): WireRequest {
    const { userAgent = 'proconsul' } = this.#options;
    const { pathname } = this.#credentials.server;
    return wireRequest(request, {
      basePath: pathname,
      headers: { ...headers, 'user-agent': userAgent },
      signal: deadline.signal,
    });
  }

  #startDeadline({ deadlineMs = DEFAULT_DEADLINE_MS, signal }: KubeRequest): Deadline {
    return new Deadline(this.#options.clock, deadlineMs, [signal, this.#closing.signal]);
  }

  async #explained<R>(request: KubeRequest, deadline: Deadline, send: () => Promise<R>): Promise<R> {
    try {
      return await send();
    } catch (error) {
      throw this.#explain(request, error, deadline);
    }
  }

  #explain(request: KubeRequest, error: unknown, deadline: Deadline): unknown {
    if (isOurs(error)) return error;
    if (deadline.abortedByCaller) return new AbortedError('request aborted', error);
    const asked = this.#asked(request);
    return deadline.expired ? errorOfDeadline(asked, deadline.ms) : errorOfFailure(asked, error);
  }

  #asked({ method }: KubeRequest): Asked {
    return { method, host: this.host };
  }
}
