import { type NodeName, parseNodeName } from './service-ids.ts';
import { type ModifyIndex, NOT_THERE } from './types.ts';

/**
 * Deletes a node with all that stands on it, services, checks and sessions, if it is still at `index`, which services and checks
 * do not move. It is no `CatalogOperation`, so that nobody can put it into a unit: `EmptyNodes` alone sends it.
 * @throws TypeError for an empty name or index.
 */
export function encodeNodeDeletion(node: NodeName, index: ModifyIndex): string {
  if (!Number.isSafeInteger(index) || index <= NOT_THERE)
    throw new TypeError('a deletion of what is not there');
  return JSON.stringify({
    Node: { Verb: 'delete-cas', Node: { Node: parseNodeName(node), ModifyIndex: index } },
  });
}
