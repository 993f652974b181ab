import type { Clock } from '../core/clock.ts';
import { Deadline } from '../core/deadline.ts';
import { AbortedError, RetryableError } from '../core/errors.ts';
import type { Semaphore } from '../core/semaphore.ts';
import type { AddressRing, ConsulAddress } from './address.ts';
import {
  connectionError,
  isConsulError,
  isOutage,
  type RequestSite,
  refusal,
  replyTooLarge,
  timeoutError,
} from './errors.ts';
import type { HealthMonitor } from './health.ts';
import { type Instruments, Measurement } from './instrumentation.ts';
import type { ConsulRequest, SendRequest } from './request.ts';
import type { TokenSource } from './token.ts';
import { type Connections, WireFailure, type WireReply } from './transport.ts';
import type { BlockingParams, CallOptions } from './types.ts';

/** Blocking queries have a channel of their own, so that they never stand in the way of other requests. */
export interface Channel {
  /** Of all addresses together; a connection pool, being of one address, cannot count them. */
  readonly places: Semaphore;
  readonly connections: Connections;
}

export interface SenderParts {
  readonly addresses: AddressRing;
  readonly ordinary: Channel;
  readonly blocking: Channel;
  readonly tokens: TokenSource;
  readonly health: HealthMonitor;
  readonly instruments: Instruments;
  readonly clock: Clock;
  readonly datacenter: string | undefined;
  readonly maxReplyBytes: number;
  /** Aborts when the client closes. */
  readonly closing: AbortSignal;
}

export function createSender(parts: SenderParts): SendRequest {
  return async (request, options) => {
    const deadlineMs = options.deadlineMs ?? defaultDeadlineMs(request);
    using deadline = new Deadline(parts.clock, deadlineMs, [options.signal, parts.closing]);
    // Awaited, or the deadline would be taken off at once.
    return await new Call(parts, request, options, deadline).run();
  };
}

const READ_DEADLINE_MS = 10_000;
const WRITE_DEADLINE_MS = 15_000;

/** Consul adds up to a sixteenth of `wait` (`RPCQueryTimeout`). */
function defaultDeadlineMs({ block, writes }: ConsulRequest<unknown>): number {
  if (block !== undefined) return (block.waitSeconds * 1000 * 17) / 16 + READ_DEADLINE_MS;
  return writes ? WRITE_DEADLINE_MS : READ_DEADLINE_MS;
}

class Call<T> {
  readonly #parts: SenderParts;
  readonly #request: ConsulRequest<T>;
  readonly #options: CallOptions;
  readonly #deadline: Deadline;
  #sent = 0;

  constructor(parts: SenderParts, request: ConsulRequest<T>, options: CallOptions, deadline: Deadline) {
    this.#parts = parts;
    this.#request = request;
    this.#options = options;
    this.#deadline = deadline;
  }

  async run(): Promise<T> {
    const { signal } = this.#deadline;
    const leave = await this.#channel.places.acquire(signal).catch(() => {
      throw this.#translate(new WireFailure(signal.reason, false), this.#parts.addresses.current);
    });
    try {
      return await this.#withFreshToken();
    } finally {
      leave();
    }
  }

  /** A refused token may just have been replaced: looked up at once, and tried once more. */
  async #withFreshToken(): Promise<T> {
    const { tokens } = this.#parts;
    const token = await tokens.current();
    try {
      return await this.#overAddresses(token);
    } catch (error) {
      const refused = isConsulError(error) && error.code === 'CONSUL_DENIED';
      if (!refused || !(await tokens.hasChangedFrom(token))) throw error;
      return await this.#overAddresses(await tokens.current());
    }
  }

  /** Every address at most once, and none after an unclear failure of what must not happen twice. */
  async #overAddresses(token: string | undefined): Promise<T> {
    const { addresses } = this.#parts;
    for (let othersLeft = addresses.size - 1; ; othersLeft -= 1) {
      const address = addresses.current;
      try {
        return await this.#attempt(address, token);
      } catch (error) {
        if (!isConsulError(error) || !isOutage(error)) throw error;
        addresses.moveOnFrom(address);
        if (othersLeft === 0 || this.#deadline.expired || !this.#mayRepeat(error)) throw error;
      }
    }
  }

  #mayRepeat(error: Error): boolean {
    const { repeatable, writes } = this.#request;
    if (repeatable ?? !writes) return true;
    return error instanceof RetryableError && !error.outcomeUnknown;
  }

  async #attempt(address: ConsulAddress, token: string | undefined): Promise<T> {
    const { health, instruments } = this.#parts;
    const { method, template, block } = this.#request;
    const resend = this.#sent++;
    const measurement = new Measurement(
      { method, template, blocking: block !== undefined, address, resend },
      instruments,
    );
    try {
      const reply = await this.#exchange(address, token);
      measurement.answered(reply.status);
      const value = this.#read(reply, address, token);
      if (this.#provesContact) health.answered();
      measurement.succeeded();
      return value;
    } catch (thrown) {
      const error = this.#translate(thrown, address);
      if (isConsulError(error)) health.failed(error);
      if (error instanceof AbortedError) measurement.aborted();
      else measurement.failed(isConsulError(error) ? error.code : 'REFUSED');
      throw error;
    }
  }

  /**
   * A stale read any server answers. And a query that was blocked is answered in the end by a server that has lost its
   * quorum meanwhile, whatever consistency was asked for: that is checked when it begins.
   */
  get #provesContact(): boolean {
    const { query, block } = this.#request;
    return query?.stale === undefined && (block === undefined || block.index === 0);
  }

  #exchange(address: ConsulAddress, token: string | undefined): Promise<WireReply> {
    const { method, path, query, block, body } = this.#request;
    const { clock, datacenter } = this.#parts;
    const wire = {
      method,
      path: path + queryString({ ...query, ...blockingQuery(block), dc: query?.['dc'] ?? datacenter }),
      headers: { ...contentType(body), ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body,
      maxReplyBytes: this.#maxReplyBytes,
      signal: this.#deadline.signal,
      beforeSend: this.#options.beforeSend,
    };
    return this.#channel.connections.exchange(address, wire, clock);
  }

  #read(reply: WireReply, address: ConsulAddress, token: string | undefined): T {
    const site = this.#site(address);
    const { answers = [200], parse, confidential = false } = this.#request;
    if (answers.includes(reply.status)) return parse({ ...reply, site, anonymous: token === undefined });
    const text = reply.body.toString('utf8', 0, MAX_TEXT_BYTES);
    const retryAfter = reply.headers['retry-after'];
    throw refusal(
      {
        status: reply.status,
        // A debugging proxy may send back what it got.
        text: token === undefined ? text : text.replaceAll(token, '[token]'),
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
        confidential,
      },
      site,
    );
  }

  /** What the caller is to see of anything thrown on the way. */
  #translate(thrown: unknown, address: ConsulAddress): unknown {
    if (!(thrown instanceof WireFailure)) return thrown;
    if (this.#deadline.abortedByCaller) return new AbortedError('the call was aborted', thrown.cause);
    const site = this.#site(address);
    if (this.#deadline.expired) return timeoutError(site, this.#deadline.ms, thrown.sent);
    if (thrown.tooLarge) return replyTooLarge(site, this.#maxReplyBytes);
    return isConsulError(thrown.cause) ? thrown.cause : connectionError(thrown.cause, site, thrown.sent);
  }

  get #maxReplyBytes(): number {
    return this.#options.maxReplyBytes ?? this.#parts.maxReplyBytes;
  }

  get #channel(): Channel {
    return this.#request.block === undefined ? this.#parts.ordinary : this.#parts.blocking;
  }

  #site(address: ConsulAddress): RequestSite {
    const { method, template, writes } = this.#request;
    return {
      address: address.origin,
      datacenter: this.#parts.datacenter,
      operation: `${method} ${template}`,
      writes,
    };
  }
}

/** Enough of an error's text to classify and quote it. */
const MAX_TEXT_BYTES = 4096;

function queryString(query: Readonly<Record<string, string | true | undefined>>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) params.set(name, value === true ? '' : value);
  }
  return params.size === 0 ? '' : `?${params.toString()}`;
}

function blockingQuery(block: BlockingParams | undefined): Record<string, string> {
  return block === undefined ? {} : { index: String(block.index), wait: `${block.waitSeconds}s` };
}

function contentType(body: string | Buffer | undefined): Record<string, string> {
  if (body === undefined) return {};
  return { 'content-type': typeof body === 'string' ? 'application/json' : 'application/octet-stream' };
}
