import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

export interface RecordedRequest {
  /** 1, 2, … in the order of arrival. */
  readonly n: number;
  readonly method: string;
  /** As sent, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** `performance.now()` of its arrival. */
  readonly at: number;
  /** What the server behind answered, whether or not the client got to see it. */
  readonly upstreamStatus: number | undefined;
  /** The server's whole answer, where the proxy keeps it. */
  readonly reply: string | undefined;
  /** What the client was answered; undefined while (or because) it was not. */
  readonly status: number | undefined;
  /** The client has its whole answer, or its connection has ended. */
  readonly finished: boolean;
}

export type Matcher = (request: RecordedRequest) => boolean;

export type Fault =
  /** Pass on as if there were no rule: to let one through, or to see it. */
  | { readonly kind: 'forward' }
  /** Answer in the server's place, which never hears of it. */
  | {
      readonly kind: 'reply';
      readonly status: number;
      readonly headers?: OutgoingHttpHeaders;
      readonly body?: string;
    }
  /** Never answer and keep the connection; the server never hears of it. */
  | { readonly kind: 'hang' }
  /** Reset the connection instead of passing on. */
  | { readonly kind: 'reset' }
  /** Pass on once the promise resolves. */
  | { readonly kind: 'delay'; readonly until: (request: RecordedRequest) => Promise<unknown> }
  /** Pass on when the rule is released. */
  | { readonly kind: 'hold' }
  /** Pass on, and keep the answer back until the rule is released: done, but not known to be. */
  | { readonly kind: 'holdReply' }
  /** Pass on, wait for the whole answer, and reset the connection instead of giving it. */
  | { readonly kind: 'dropReply' }
  /** Pass on and give half of the answer's body, then end the connection. */
  | { readonly kind: 'truncate' };

export interface Rule {
  /** Requests it was applied to. */
  readonly hits: readonly RecordedRequest[];
  /** Lets go what `hold` and `holdReply` keep, and from now on all that match. */
  release(): void;
  /** Ends the rule; what it keeps stays kept until released. */
  remove(): void;
}

export interface RuleOptions {
  /** Applies this often and is spent then. Default: without end. */
  readonly times?: number;
}

/** One rule of a proxy, with the count of what it still applies to. */
export class ActiveRule implements Rule {
  readonly fault: Fault;
  readonly hits: RecordedRequest[] = [];
  readonly released: Promise<void>;
  readonly release: () => void;
  readonly #matches: Matcher;
  #left: number;

  constructor(matches: Matcher, fault: Fault, times: number) {
    this.#matches = matches;
    this.fault = fault;
    this.#left = times;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.released = promise;
    this.release = resolve;
  }

  takes(request: RecordedRequest): boolean {
    if (this.#left <= 0 || !this.#matches(request)) return false;
    this.#left -= 1;
    return true;
  }

  remove(): void {
    this.#left = 0;
  }
}
