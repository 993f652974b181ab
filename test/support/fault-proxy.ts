import {
  createServer,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import {
  ActiveRule,
  type Fault,
  type Matcher,
  type RecordedRequest,
  type Rule,
  type RuleOptions,
} from './fault-rules.ts';
import { TcpGate } from './tcp-gate.ts';

export interface FaultProxyOptions {
  /** `http://…` or `https://…` on loopback. */
  readonly upstream: string;
  /** PEM file of the authority to trust, for https. */
  readonly caFile?: string;
  /**
   * Requests whose answers are recorded whole. They are carried out and recorded even when their client has left.
   * Never for what answers without end.
   */
  readonly keepReplies?: Matcher;
}

interface Exchange {
  readonly record: Mutable<RecordedRequest>;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly rawBody: Buffer;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const maxBodyBytes = 8 * 1024 * 1024;
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/**
 * An HTTP/1.1 reverse proxy on loopback that records every request and does to the chosen ones what a network or
 * a server might do. Requests are read whole before they are passed on (rules may look at bodies); answers flow
 * as they come, so watches and blocking queries work through it. Headers pass unchanged, credentials included.
 *
 * Of several rules that match, the one added last counts.
 */
export class FaultProxy {
  readonly requests: RecordedRequest[] = [];
  readonly #upstream: URL;
  readonly #keepsReply: Matcher;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #server: Server;
  readonly #rules: ActiveRule[] = [];
  readonly #open = new Set<Exchange>();
  readonly #watchers = new Set<() => void>();
  #gate!: TcpGate;

  private constructor(options: FaultProxyOptions) {
    this.#upstream = new URL(options.upstream);
    this.#keepsReply = options.keepReplies ?? (() => false);
    const ca = options.caFile === undefined ? undefined : readFileSync(options.caFile);
    this.#agent =
      this.#upstream.protocol === 'https:'
        ? new HttpsAgent({ keepAlive: true, ca })
        : new HttpAgent({ keepAlive: true });
    this.#server = createServer(
      { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 },
      (request, response) => {
        void this.#serve(request, response);
      },
    );
  }

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    const { port } = proxy.#server.address() as AddressInfo;
    proxy.#gate = await TcpGate.listen({ host: '127.0.0.1', port });
    return proxy;
  }

  /** `http://127.0.0.1:<port>`. */
  get url(): string {
    return `http://127.0.0.1:${this.#gate.port}`;
  }

  /** Connections of clients, and the switches of the network: `freeze`, `thaw`, `cutAll`, `refuse`, `accept`. */
  get network(): TcpGate {
    return this.#gate;
  }

  when(matches: Matcher, fault: Fault, options: RuleOptions = {}): Rule {
    const rule = new ActiveRule(matches, fault, options.times ?? Number.POSITIVE_INFINITY);
    this.#rules.unshift(rule);
    return rule;
  }

  /** Ends every rule and lets go what they keep. */
  heal(): void {
    for (const rule of this.#rules) {
      rule.remove();
      rule.release();
    }
    this.#rules.length = 0;
  }

  count(matches: Matcher): number {
    return this.requests.filter(matches).length;
  }

  /** The first matching request after number `after`, now or when it comes. Use `finished` or `status` to wait for its end. */
  waitFor(
    matches: Matcher,
    options: { readonly after?: number; readonly timeoutMs?: number; readonly what?: string } = {},
  ) {
    const { after = 0, timeoutMs = 30_000, what = `a request that matches ${String(matches)}` } = options;
    return new Promise<RecordedRequest>((resolve, reject) => {
      const look = () => {
        const found = this.requests.find(request => request.n > after && matches(request));
        if (found === undefined) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        reject(new Error(`not within ${timeoutMs} ms: ${what}\n${this.summary()}`));
      }, timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }

  /** Resets the connections of the matching requests that are not finished: a watch, for instance. */
  cut(matches: Matcher): number {
    const exchanges = [...this.#open].filter(({ record }) => matches(record));
    for (const { response } of exchanges) response.socket?.resetAndDestroy();
    return exchanges.length;
  }

  /** The last requests, a line each, for messages. */
  summary(last = 30): string {
    return this.requests
      .slice(-last)
      .map(
        r =>
          `#${r.n} ${r.method} ${r.path}?${r.query.toString()} -> ${r.status ?? 'no answer'} (upstream ${r.upstreamStatus ?? '-'})`,
      )
      .join('\n');
  }

  async close(): Promise<void> {
    this.#gate.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise(resolve => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {}); // the client left while it was being answered
    const exchange = await this.#record(request, response).catch(() => undefined);
    if (exchange === undefined) return void response.destroy();
    const rule = this.#rules.find(candidate => candidate.takes(exchange.record));
    rule?.hits.push(exchange.record);
    this.#changed();
    await this.#act(exchange, rule).catch(() => response.destroy());
  }

  async #record(request: IncomingMessage, response: ServerResponse): Promise<Exchange> {
    const [path = '', query = ''] = (request.url ?? '').split(/\?(.*)/s, 2);
    const rawBody = await buffer(request);
    if (rawBody.length > maxBodyBytes) throw new Error('body too large to record');
    const record: Mutable<RecordedRequest> = {
      n: this.requests.length + 1,
      method: request.method ?? '',
      path,
      query: new URLSearchParams(query),
      headers: request.headers,
      body: rawBody.toString(),
      at: performance.now(),
      upstreamStatus: undefined,
      reply: undefined,
      status: undefined,
      finished: false,
    };
    const exchange = { record, request, response, rawBody };
    this.requests.push(record);
    this.#open.add(exchange);
    response.once('close', () => {
      record.finished = true;
      this.#open.delete(exchange);
      this.#changed();
    });
    return exchange;
  }

  #changed(): void {
    for (const look of this.#watchers) look();
  }

  async #act(exchange: Exchange, rule: ActiveRule | undefined): Promise<void> {
    const fault = rule?.fault ?? { kind: 'forward' };
    const { response } = exchange;
    switch (fault.kind) {
      case 'reply':
        this.#answer(exchange, fault.status, { 'content-type': 'application/json', ...fault.headers });
        return void response.end(fault.body ?? '');
      case 'hang':
        return;
      case 'reset':
        return void response.socket?.resetAndDestroy();
      case 'delay':
        await fault.until(exchange.record);
        return this.#relay(exchange);
      case 'hold':
        await rule?.released;
        return this.#relay(exchange);
      case 'holdReply':
        return this.#relay(exchange, rule?.released);
      case 'dropReply':
        await this.#forwardWhole(exchange);
        return void response.socket?.resetAndDestroy();
      case 'truncate':
        return this.#truncate(exchange);
      case 'forward':
        return this.#relay(exchange);
    }
  }

  #answer({ record, response }: Exchange, status: number, headers: OutgoingHttpHeaders): void {
    record.status = status;
    response.writeHead(status, headers);
    response.flushHeaders(); // a watch answers at once and speaks later
    this.#changed();
  }

  async #relay(exchange: Exchange, released?: Promise<void>): Promise<void> {
    const { record, response } = exchange;
    if (this.#keepsReply(record)) {
      const { status, headers, body } = await this.#forwardWhole(exchange);
      await released;
      if (response.destroyed) return;
      this.#answer(exchange, status, endToEnd(headers));
      return void response.end(body);
    }
    const reply = await this.#forward(exchange, { detached: released !== undefined });
    await released;
    if (response.destroyed) return void reply.resume();
    this.#answer(exchange, reply.statusCode ?? 502, endToEnd(reply.headers));
    reply.pipe(response);
    // a server that dies half way must look like one
    reply.once('error', () => response.socket?.resetAndDestroy());
  }

  async #truncate(exchange: Exchange): Promise<void> {
    const { headers, body, status } = await this.#forwardWhole(exchange);
    this.#answer(exchange, status, { ...endToEnd(headers), 'content-length': body.length });
    exchange.response.write(body.subarray(0, Math.floor(body.length / 2)));
    exchange.response.socket?.destroySoon();
  }

  async #forwardWhole(
    exchange: Exchange,
  ): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
    const reply = await this.#forward(exchange, { detached: true });
    const body = await buffer(reply);
    if (this.#keepsReply(exchange.record)) exchange.record.reply = body.toString();
    return { status: reply.statusCode ?? 502, headers: reply.headers, body };
  }

  /**
   * Resolves with the head of the server's answer. A server that cannot be reached resets the client's connection.
   *
   * A client that leaves ends its request at the server too, or watches would pile up there. Not so when
   * `detached`, nor for one that left before: a delayed request arrives although nobody waits for the answer.
   */
  #forward(exchange: Exchange, { detached }: { readonly detached: boolean }): Promise<IncomingMessage> {
    const { record, request, response, rawBody } = exchange;
    const send = this.#upstream.protocol === 'https:' ? httpsRequest : httpRequest;
    const { hostname, port, host } = this.#upstream;
    const headers = { ...endToEnd(request.headers), host, 'content-length': rawBody.length };
    return new Promise((resolve, reject) => {
      const forwarded = send({
        hostname,
        port,
        agent: this.#agent,
        method: request.method,
        path: request.url,
        headers,
      });
      forwarded.once('response', reply => {
        record.upstreamStatus = reply.statusCode;
        this.#changed();
        resolve(reply);
      });
      forwarded.once('error', error => {
        response.socket?.resetAndDestroy();
        reject(error);
      });
      if (!detached) {
        response.once('close', () => {
          if (!response.writableFinished) forwarded.destroy();
        });
      }
      forwarded.end(rawBody);
    });
  }
}

function endToEnd(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !hopByHop.includes(name)));
}
