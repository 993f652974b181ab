import type { RecordedRequest } from './fault-rules.ts';

/** What a recorded request means to the server behind: for counting. */

const changing = new Set(['PUT', 'POST', 'PATCH', 'DELETE']);

/**
 * Anything that may change Consul on behalf of resources. Not counted: what the election writes for itself, once a
 * tenure, and a transaction that only reads.
 */
export function isConsulWrite(request: RecordedRequest): boolean {
  return changing.has(request.method) && !isOwnElection(request) && !isReadOnlyTransaction(request);
}

/** What leading costs: session, node, lock and the Lease that counts tenures. */
export function isOwnElection(request: RecordedRequest): boolean {
  const { method, path } = request;
  if (!changing.has(method)) return false;
  if (path.startsWith('/v1/session/') || isNodeRegistration(request)) return true;
  if (isTransaction(request)) return transactionKeys(request).every(key => LEADER_LOCK.test(key));
  const key = path.startsWith('/v1/kv/') ? decodeURIComponent(path.slice('/v1/kv/'.length)) : '';
  return LEADER_LOCK.test(key) || isLeaseWrite(path);
}

/** Of a node alone, for sessions; instances are registered by the same path. */
function isNodeRegistration({ path, body }: RecordedRequest): boolean {
  return path === '/v1/catalog/register' && !('Service' in (JSON.parse(body) as object));
}

const LEADER_LOCK = /^proconsul\/[^/]+\/leader$/;

function isLeaseWrite(path: string): boolean {
  return /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/[^/]+\/leases(\/|$)/.test(path);
}

/** Of the node that the sessions of ConsulLeaderLeases belong to, for which no lead is held. */
export function isLeaseSessionCreation({ method, path, body }: RecordedRequest): boolean {
  const isMade = path === '/v1/session/create' || path === '/v1/catalog/register';
  return method === 'PUT' && isMade && LEASES_NODE.test(body);
}

const LEASES_NODE = /"Node":"proconsul-[^"]+-leases"/;

export function isSessionCreation({ method, path }: RecordedRequest): boolean {
  return method === 'PUT' && path === '/v1/session/create';
}

/** The session that a request ends; undefined: it ends none. */
export function destroyedSession({ method, path }: RecordedRequest): string | undefined {
  const prefix = '/v1/session/destroy/';
  return method === 'PUT' && path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
}

export function isSessionRenewal({ method, path }: RecordedRequest): boolean {
  return method === 'PUT' && path.startsWith('/v1/session/renew/');
}

export function isTransaction({ method, path }: RecordedRequest): boolean {
  return method === 'PUT' && path === '/v1/txn';
}

export function isWritingTransaction(request: RecordedRequest): boolean {
  return isTransaction(request) && !isReadOnlyTransaction(request) && !isOwnElection(request);
}

/** Consul itself decides by the verbs alone. */
export function isReadOnlyTransaction(request: RecordedRequest): boolean {
  return isTransaction(request) && transactionVerbs(request).every(verb => /^(get|check-)/.test(verb));
}

/** The verbs of a transaction's operations, in order. */
export function transactionVerbs(request: RecordedRequest): string[] {
  return operationsOf(request).map(({ Verb = '' }) => Verb);
}

function transactionKeys(request: RecordedRequest): string[] {
  return operationsOf(request).map(({ Key = '' }) => Key);
}

function operationsOf({ body }: RecordedRequest): { readonly Verb?: string; readonly Key?: string }[] {
  const operations = JSON.parse(body) as Record<string, { Verb?: string; Key?: string }>[];
  return operations.flatMap(operation => Object.values(operation));
}

/** Anything that may change what the API server keeps, Events and the election's Lease apart. */
export function isKubernetesWrite(request: RecordedRequest): boolean {
  return mayChangeKubernetes(request) && !isEvent(request) && !isLeaseWrite(request.path);
}

/** Conditional on the version that was read, and written without the lead, too, while Consul is away. */
export function isStatusWrite({ method, path }: RecordedRequest): boolean {
  return method === 'PATCH' && path.endsWith('/status');
}

/** A creation or update of an Event of either API. */
export function isEventWrite(request: RecordedRequest): boolean {
  return mayChangeKubernetes(request) && isEvent(request);
}

/** A review or a dry run changes nothing. */
function mayChangeKubernetes({ method, path, query }: RecordedRequest): boolean {
  const isReview = /^\/apis\/(authorization|authentication)\.k8s\.io\//.test(path);
  return changing.has(method) && !isReview && !query.has('dryRun');
}

function isEvent({ path }: RecordedRequest): boolean {
  return /\/(api\/v1|apis\/events\.k8s\.io\/v1)\/namespaces\/[^/]+\/events(\/|$)/.test(path);
}
