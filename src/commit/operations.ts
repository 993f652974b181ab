import { checkPlace, nodePlace, servicePlace } from '../consul/service-ids.ts';
import type { CatalogOperation } from '../consul/txn-catalog.ts';
import type { KvOperation } from '../consul/txn.ts';
import type { ModifyIndex } from '../consul/types.ts';
import type { ResourceRef } from '../core/resource.ts';

/** Written by every transaction that adopts something or claims a prefix: installs meet here and nowhere else. */
export const CLAIMS_KEY = 'proconsul/.claims';

/**
 * Where an operation may point. `data` is the users' part of the key space, and of the operator's own nothing but the
 * keys that the unit's owner, a lease, has where it declares none;
 * `record` is this install's owner records, the claims key and its private key, and nothing else.
 */
export type Realm = 'data' | 'record';

/**
 * Every write says what it believed: there is no unconditional one. A `lock` or `unlock` cannot, so it stands right
 * after a check of the same key.
 */
export type WriteOperation = KeyOperation | CatalogWrite;

export type KeyOperation = (
  | Extract<KvOperation, { verb: 'cas' | 'delete-cas' | 'check-index' | 'lock' | 'unlock' }>
  | { readonly verb: 'check-not-exists'; readonly key: string }
) & { readonly realm: Realm };

/** On nodes that are the operator's to write: see `WriteGate`. */
export type CatalogWrite = CatalogOperation & { readonly realm: 'catalog' };

/** What an operation is about: a key, or a row of the catalog. No key begins with `/`. */
export type Place = string;

export function placeOf(operation: WriteOperation): Place {
  if (operation.realm !== 'catalog') return operation.key;
  switch (operation.verb) {
    case 'node-create':
      return nodePlace(operation.node.node);
    case 'service-cas':
      return servicePlace(operation.node, operation.service.id);
    case 'service-get':
    case 'service-delete-cas':
      return servicePlace(operation.node, operation.id);
    case 'check-cas':
      return checkPlace(operation.node, operation.check.id);
    case 'check-delete-cas':
      return checkPlace(operation.node, operation.id);
  }
}

/** Operations that happen all together or not at all, on behalf of one resource. */
export interface WriteUnit {
  readonly owner: ResourceRef;
  readonly operations: readonly WriteOperation[];
  /** Does not wait for company: somebody is without a leader for as long. */
  readonly isUrgent?: true;
}

export interface RefusedOperation {
  readonly operation: WriteOperation;
  /** Consul's own words, for logs and messages. */
  readonly what: string;
}

/**
 * What became of a unit. `refused` is a normal result: a precondition no longer held, so nothing of the unit was
 * written. `denied` names the operations that the token may not do.
 */
export type UnitOutcome =
  /** ModifyIndex by `Place` of all that was written, by the unit's companions too; nothing of what was deleted. */
  | { readonly kind: 'applied'; readonly indexes: ReadonlyMap<Place, ModifyIndex> }
  | { readonly kind: 'refused'; readonly operations: readonly RefusedOperation[] }
  | { readonly kind: 'denied'; readonly operations: readonly RefusedOperation[] };
