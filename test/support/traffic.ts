import type { RecordedRequest } from './fault-rules.ts';

/** What a recorded request means to the server behind: for counting. */

const changing = new Set(['PUT', 'POST', 'PATCH', 'DELETE']);

/** Anything that may change Consul. Renewing a session is not counted, nor a transaction that only reads. */
export function isConsulWrite(request: RecordedRequest): boolean {
  return changing.has(request.method) && !isSessionRenewal(request) && !isReadOnlyTransaction(request);
}

export function isSessionRenewal({ method, path }: RecordedRequest): boolean {
  return method === 'PUT' && path.startsWith('/v1/session/renew/');
}

export function isTransaction({ method, path }: RecordedRequest): boolean {
  return method === 'PUT' && path === '/v1/txn';
}

export function isWritingTransaction(request: RecordedRequest): boolean {
  return isTransaction(request) && !isReadOnlyTransaction(request);
}

/** Consul itself decides by the verbs alone. */
export function isReadOnlyTransaction(request: RecordedRequest): boolean {
  return isTransaction(request) && transactionVerbs(request).every(verb => /^(get|check-)/.test(verb));
}

/** The verbs of a transaction's operations, in order. */
export function transactionVerbs(request: RecordedRequest): string[] {
  const operations = JSON.parse(request.body) as Record<string, { Verb?: string }>[];
  return operations.flatMap(operation => Object.values(operation).map(({ Verb = '' }) => Verb));
}

/** Anything that may change what the API server keeps, Events apart. A review or a dry run changes nothing. */
export function isKubernetesWrite(request: RecordedRequest): boolean {
  return mayChangeKubernetes(request) && !isEvent(request);
}

/** A creation or update of an Event of either API. */
export function isEventWrite(request: RecordedRequest): boolean {
  return mayChangeKubernetes(request) && isEvent(request);
}

function mayChangeKubernetes({ method, path, query }: RecordedRequest): boolean {
  const isReview = /^\/apis\/(authorization|authentication)\.k8s\.io\//.test(path);
  return changing.has(method) && !isReview && !query.has('dryRun');
}

function isEvent({ path }: RecordedRequest): boolean {
  return /\/(api\/v1|apis\/events\.k8s\.io\/v1)\/namespaces\/[^/]+\/events(\/|$)/.test(path);
}
