/**
 * What a resource can own of Consul's services, as owner records list it:
 *
 * ```
 * /service/<node>/<id>    in the catalog
 * /agent/<node>/<id>      with the agent of that node
 * ```
 *
 * No key of the key/value store and no claim on an intention (`intention-claims.ts`) is written alike.
 */
export interface InstanceName {
  readonly kind: 'catalog' | 'agent';
  readonly node: string;
  readonly id: string;
}

const NODE = '[a-z0-9][a-z0-9._-]{0,159}';
const ID = '[a-z0-9_][a-z0-9._:-]{0,159}';
const CATALOG = new RegExp(`^/service/(${NODE})/(${ID})$`);
/** An agent may have any name. */
const AGENT = new RegExp(`^/agent/([^/]{1,512})/(${ID})$`);

export function instanceName({ kind, node, id }: InstanceName): string {
  return kind === 'catalog' ? `/service/${node}/${id}` : `/agent/${encodeURIComponent(node)}/${id}`;
}

/** The instance of which `instanceName` makes exactly this name; undefined: none has it. */
export function parseInstanceName(name: string): InstanceName | undefined {
  const parsed = decode(name);
  return parsed !== undefined && instanceName(parsed) === name ? parsed : undefined;
}

function decode(name: string): InstanceName | undefined {
  const [, node, id] = CATALOG.exec(name) ?? [];
  if (node !== undefined && id !== undefined) return { kind: 'catalog', node, id };
  const [, agent, agentId] = AGENT.exec(name) ?? [];
  if (agent === undefined || agentId === undefined) return undefined;
  try {
    return { kind: 'agent', node: decodeURIComponent(agent), id: agentId };
  } catch {
    return undefined;
  }
}

/** How an instance is named to users: `orders-1 on vm-1`. */
export function describeInstance(name: string): string {
  const parsed = parseInstanceName(name);
  return parsed === undefined ? name : `${parsed.id} on ${parsed.node}`;
}

/**
 * What an owner record says of an instance.
 *
 * | state    | in the record | what stands in Consul is ours                     |
 * |----------|---------------|---------------------------------------------------|
 * | claimed  | nothing, `~…` | if it carries the mark of this very resource       |
 * | out      | `!<fp>`       | it was taken out for having been critical too long |
 * | settled  | `<fp>`        | yes                                               |
 */
export type InstanceState =
  | { readonly kind: 'claimed' }
  | { readonly kind: 'out'; readonly fingerprint: string }
  | { readonly kind: 'settled'; readonly fingerprint: string };

/** Fingerprints are base64url: none begins with a mark. */
const OUT = '!';
const CLAIMED = '~';

/** Claimed, and about to be written. */
export function markClaimed(fingerprint: string): string {
  return `${CLAIMED}${fingerprint}`;
}

/** Taken out, though declared. */
export function markOut(fingerprint: string): string {
  return `${OUT}${fingerprint}`;
}

export function readInstanceState(recorded: string): InstanceState {
  if (recorded === '' || recorded.startsWith(CLAIMED)) return { kind: 'claimed' };
  if (recorded.startsWith(OUT)) return { kind: 'out', fingerprint: recorded.slice(OUT.length) };
  return { kind: 'settled', fingerprint: recorded };
}
