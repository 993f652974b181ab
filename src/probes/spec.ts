import type { Thresholds } from './debounce.ts';

/** As Consul writes it. */
export type ProbeStatus = 'passing' | 'warning' | 'critical';

/** What a check says, and why: text for people, printable, at most 4 KB of UTF-8. */
export interface ProbeResult {
  readonly status: ProbeStatus;
  readonly output: string;
}

/** What one run found. `unknown`: nothing was learnt about the target, for a reason of our own; it counts as no run. */
export type ProbeOutcome = ProbeResult | { readonly status: 'unknown'; readonly output: string };

/** A check of one instance: what to ask, how often, and how often the answer has to be the same before it counts. */
export interface ProbeSpec {
  readonly target: ProbeTarget;
  /** At least 1. */
  readonly intervalMs: number;
  /** At least 1. For the whole of a run: name, connection, TLS and answer. May exceed the interval; a minute is the most that counts. */
  readonly timeoutMs: number;
  readonly thresholds: Thresholds;
}

export type ProbeTarget = HttpTarget | TcpTarget | GrpcTarget;

interface Endpoint {
  /** An IP address or a DNS name, without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface HttpTarget extends Endpoint {
  readonly kind: 'http';
  /** Undefined: plain HTTP. */
  readonly tls: ProbeTls | undefined;
  /** With the query; begins with `/`. */
  readonly path: string;
  readonly method: string;
  /** Each name with its values, in order. They are shown nowhere. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly body: string;
}

export interface TcpTarget extends Endpoint {
  readonly kind: 'tcp';
}

export interface GrpcTarget extends Endpoint {
  readonly kind: 'grpc';
  readonly tls: ProbeTls | undefined;
  /** As the health protocol names it; empty: the server as a whole. */
  readonly service: string;
}

export interface ProbeTls {
  /** The name to ask for (SNI) and to verify; undefined: the host. */
  readonly serverName: string | undefined;
  /** True: whoever answers is believed. */
  readonly skipVerify: boolean;
}

/**
 * One run: asks the target once. `signal` aborts when time is up or nobody waits any more; the promise settles soon
 * after. What it rejects with while `signal` is quiet is a defect.
 */
export type Prober = (target: ProbeTarget, signal: AbortSignal) => Promise<ProbeOutcome>;

/** `host:port` as it stands in a URL. */
export function authorityOf({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A path as it may be shown: queries are where people put tokens. */
export function withoutQuery(path: string): string {
  return path.replace(/[?#].*$/s, '');
}
