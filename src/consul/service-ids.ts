/**
 * Names by which services, checks and nodes are written. An empty one is never a name: to `/v1/catalog/deregister`
 * a node without a service id means the whole node with all that stands on it (`applyDeregister` in
 * `agent/consul/fsm/commands_ce.go`). So these are types that only a parser makes, and the wire is parsed once more.
 *
 * Lower case alone: Consul looks all three up without regard to case, so `Orders-1` would overwrite `orders-1`.
 */

/** Id of an instance, unlike any other of its node. */
export type ServiceId = string & { readonly __brand: 'ServiceId' };
/** Id of a check, unlike any other of its node. */
export type CheckId = string & { readonly __brand: 'CheckId' };
export type NodeName = string & { readonly __brand: 'NodeName' };

/** Room for an id of 128 characters and `-sidecar-proxy`. */
const SERVICE_ID = /^[a-z0-9_][a-z0-9._:-]{0,159}$/;
/** Room for `service:`, the id of an instance, and a name. */
const CHECK_ID = /^[a-z0-9][a-z0-9._:-]{0,255}$/;
const NODE_NAME = /^[a-z0-9][a-z0-9._-]{0,159}$/;

/** @throws TypeError, for it is a defect: the API refuses such ids, and nothing else makes any. */
export function parseServiceId(text: unknown): ServiceId {
  return parsed(text, SERVICE_ID, 'an instance') as ServiceId;
}

/** @throws TypeError as `parseServiceId`. */
export function parseCheckId(text: unknown): CheckId {
  return parsed(text, CHECK_ID, 'a check') as CheckId;
}

/** @throws TypeError as `parseServiceId`. */
export function parseNodeName(text: unknown): NodeName {
  return parsed(text, NODE_NAME, 'a node') as NodeName;
}

function parsed(text: unknown, pattern: RegExp, what: string): string {
  if (typeof text !== 'string' || !pattern.test(text)) throw new TypeError(`not the name of ${what}`);
  return text;
}

/** To Consul, ids in upper and lower case are one. */
export function foldId(id: string): string {
  return id.toLowerCase();
}

/** Where an instance stands: `/service/<node>/<id>`. No key of the KV store begins with `/`. */
export type ServicePlace = `/service/${string}/${string}`;
export type CheckPlace = `/check/${string}/${string}`;
export type NodePlace = `/node/${string}`;

/** A node's name has no `/`, so that two places are never written alike. */
export function servicePlace(node: string, id: string): ServicePlace {
  return `/service/${foldId(node)}/${foldId(id)}`;
}

export function checkPlace(node: string, id: string): CheckPlace {
  return `/check/${foldId(node)}/${foldId(id)}`;
}

export function nodePlace(node: string): NodePlace {
  return `/node/${foldId(node)}`;
}
