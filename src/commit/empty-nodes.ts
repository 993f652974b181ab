import type { ConsulReads, ConsulWrites } from '../consul/client.ts';
import { classifyTxnError } from '../consul/errors.ts';
import type { NodeRow } from '../consul/nodes.ts';
import { type NodeName, parseNodeName } from '../consul/service-ids.ts';
import { encodeNodeDeletion } from '../consul/txn-node.ts';
import { AbortedError } from '../core/errors.ts';
import { fenceFragment } from './batch.ts';
import { hasAgent, MADE_BY, nodeProblem, virtualNodes } from './catalog-nodes.ts';
import { guarded, heldTenure } from './held-tenure.ts';
import { NodeUse } from './node-use.ts';
import type { Tenure } from './tenure.ts';

export interface EmptyNodesOptions {
  readonly consul: Pick<ConsulReads, 'nodes' | 'sessions'> & Pick<ConsulWrites, 'txn'>;
  readonly installId: string;
  readonly dryRun: boolean;
  readonly tenure: () => Tenure | undefined;
}

/**
 * Removes nodes that this install made and on which nothing stands any more. Consul knows no deletion that holds only for an
 * empty node, so whether it is empty is read right before: what other programs register in the milliseconds between goes
 * with the node. What this one registers does not: see `whileWriting`.
 */
export class EmptyNodes {
  readonly #options: EmptyNodesOptions;
  readonly #use = new NodeUse();

  constructor(options: EmptyNodesOptions) {
    this.#options = options;
  }

  /** Runs what registers on these nodes: none of them is removed meanwhile. */
  async whileWriting<T>(nodes: Iterable<NodeName>, run: () => Promise<T>): Promise<T> {
    return await this.#use.write(nodes, run);
  }

  /** Why it stays; undefined: it is gone. @throws AbortedError, RetryableError as `WriteGate.commit`. */
  async remove(name: NodeName): Promise<string | undefined> {
    parseNodeName(name);
    const removed = await this.#use.remove(name, async () => ({ stays: await this.#remove(name) }));
    return removed === undefined ? 'it is in use' : removed.stays;
  }

  async #remove(name: NodeName): Promise<string | undefined> {
    const { consul, installId, dryRun } = this.#options;
    const tenure = heldTenure(this.#options.tenure);
    const reading = { ...guarded(tenure), consistency: 'consistent' } as const;
    const [services, checks, sessions] = await Promise.all([
      consul.nodes.services(name, reading),
      consul.nodes.checks(name, reading),
      consul.sessions.listNode(name, reading),
    ]);
    const { node } = services.value;
    if ([services, checks, sessions].some(({ filteredByAcl }) => filteredByAcl))
      return 'the token may not see all of it';
    if (node === undefined) return undefined;
    const rows = services.value.services.length + checks.value.length + sessions.value.length;
    if (rows > 0) return 'something stands on it';
    if (hasAgent({ node, checks: checks.value })) return 'it has an agent';
    if (!isMadeBy(installId, node)) return 'it was not made by this install';
    if (dryRun) return 'this is a dry run';
    const fragments = [fenceFragment(tenure), encodeNodeDeletion(name, node.modifyIndex)];
    const outcome = await consul.txn.submit(fragments, guarded(tenure));
    if (outcome.applied) return undefined;
    const [error] = outcome.errors;
    if (error !== undefined && classifyTxnError(error) === 'lost-fence') {
      tenure.revoke(error.what);
      throw new AbortedError(`the lead was lost: ${error.what}`);
    }
    return error?.what ?? 'Consul refused to';
  }
}

/** Its own by their names, the others by the mark that it left. */
function isMadeBy(installId: string, { node, meta }: NodeRow): boolean {
  if (virtualNodes(installId).includes(node as NodeName)) return true;
  return nodeProblem(installId, node) === undefined && meta.get(MADE_BY) === installId;
}
