import { MADE_BY } from '../commit/catalog-nodes.ts';
import type { EmptyNodes } from '../commit/empty-nodes.ts';
import type { ConsulReads } from '../consul/client.ts';
import { type NodeName, parseNodeName } from '../consul/service-ids.ts';
import { untilDone } from '../consul/until-done.ts';
import type { Clock, Random } from '../core/clock.ts';
import { parseInstanceName } from '../core/instance-names.ts';
import { untilAborted } from '../core/pause.ts';
import type { Ledger } from '../ownership/ledger.ts';
import { listedNames } from '../ownership/record.ts';
import type { Knowledge } from './knowledge.ts';

const RETRY = { baseMs: 500, capMs: 30_000 };

export interface NodeStraysOptions {
  readonly consul: Pick<ConsulReads, 'nodes'>;
  readonly emptyNodes: EmptyNodes;
  readonly installId: string;
  readonly ledger: Ledger;
  readonly knowledge: Pick<Knowledge, 'complete'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends the tenure. */
  readonly signal: AbortSignal;
}

/**
 * Removes the nodes that this install made and on which nothing stands: usually they go with their last instance, unless a
 * crash comes between the two. Once a tenure; tries until it is done or the tenure ends. Never rejects.
 */
export async function removeEmptyNodes(options: NodeStraysOptions): Promise<void> {
  const { knowledge, signal, clock, random } = options;
  await Promise.race([knowledge.complete, untilAborted(signal)]);
  await untilDone(() => sweep(options), { clock, random, signal, onFailure: () => {}, range: RETRY });
}

async function sweep({ consul, emptyNodes, installId, ledger, signal }: NodeStraysOptions): Promise<void> {
  const made = await consul.nodes.withMeta(MADE_BY, installId, { signal, consistency: 'consistent' });
  for (const node of made.value)
    if (isOwnName(node) && !isListed(node, ledger)) await emptyNodes.remove(node);
}

/** Others may give a node of theirs our mark, and any name. */
function isOwnName(node: string): node is NodeName {
  try {
    return parseNodeName(node) === node;
  } catch {
    return false;
  }
}

/** Something stands there, or is about to. */
function isListed(node: string, ledger: Ledger): boolean {
  for (const record of ledger.records()) {
    for (const name of listedNames(record).keys()) if (parseInstanceName(name)?.node === node) return true;
  }
  return false;
}
