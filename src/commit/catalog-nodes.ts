import { type NodeName, parseNodeName } from '../consul/service-ids.ts';
import type { NodeSeen } from '../consul/nodes.ts';

/** In the meta of a node: the install that made it. */
export const MADE_BY = 'proconsul-install';

/** How many virtual nodes an install has: each is read as a whole when something on it moves, so each holds a part. */
export const VIRTUAL_NODES = 2;

/** The nodes of the catalog on which the instances of an install stand that name none. */
export function virtualNodes(installId: string): readonly NodeName[] {
  return Array.from({ length: VIRTUAL_NODES }, (_, number) =>
    parseNodeName(`proconsul-${installId}-services-${number}`),
  );
}

/** Always the same for an id: an instance never moves. */
export function virtualNodeOf(installId: string, serviceId: string): NodeName {
  const nodes = virtualNodes(installId);
  return nodes[fnv1a(serviceId) % nodes.length] as NodeName;
}

/** http://www.isthe.com/chongo/tech/comp/fnv/ Spread is all that is asked of it. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** In front of the names of all nodes that an install makes by itself. */
const OPERATORS = 'proconsul-';

/** Why an install must not write on a node; undefined: it may, unless an agent stands behind it. */
export function nodeProblem(installId: string, node: string): string | undefined {
  if (virtualNodes(installId).includes(node as NodeName)) return undefined;
  return node.startsWith(OPERATORS)
    ? 'is a node of the operator, and not for instances of this install'
    : undefined;
}

/**
 * Whether an agent stands behind the node: it takes out what others register there, at its next full sync. Every agent gives
 * its node an id, and the servers give each a check of its own.
 */
export function hasAgent({ node, checks }: NodeSeen): boolean {
  if (node === undefined) return false;
  return node.id !== '' || node.meta.has('consul-version') || checks.some(({ id }) => id === 'serfHealth');
}
