import type { KubeRequest } from './client.ts';
import type { WireRequest } from './transport.ts';

export interface WireContext {
  /** Path of the server's URL: some proxies serve an API server beneath one. */
  readonly basePath: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** A request as it goes over the wire. */
export function wireRequest(request: KubeRequest, { basePath, headers, signal }: WireContext): WireRequest {
  const {
    method,
    path,
    query,
    body,
    contentType = 'application/json',
    accept = 'application/json',
    beforeSend,
  } = request;
  const described = body === undefined ? {} : { 'content-type': contentType };
  return {
    method,
    path: `${basePath.replace(/\/$/, '')}${path}${queryString(query)}`,
    headers: { ...headers, ...described, accept },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    beforeSend,
  };
}

function queryString(query: KubeRequest['query'] = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}
