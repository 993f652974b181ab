import { hasAgent, MADE_BY, virtualNodes } from '../commit/catalog-nodes.ts';
import type { CatalogWrite } from '../commit/operations.ts';
import type { WriteGate } from '../commit/write-gate.ts';
import type { ConsulReads } from '../consul/client.ts';
import type { ServiceRow } from '../consul/nodes.ts';
import { type NodeName, parseNodeName, parseServiceId } from '../consul/service-ids.ts';
import { untilDone } from '../consul/until-done.ts';
import type { Clock, Random } from '../core/clock.ts';
import { instanceName, parseInstanceName } from '../core/instance-names.ts';
import type { Logger } from '../core/logger.ts';
import { pause, untilAborted } from '../core/pause.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { ServiceMirror } from '../mirror/service-mirror.ts';
import type { Ledger } from '../ownership/ledger.ts';
import { listedNames } from '../ownership/record.ts';
import { isKnownKind } from '../reconcilers/service/compare.ts';
import { markedOwner } from '../reconcilers/service/marks.ts';
import type { Knowledge } from './knowledge.ts';

const RETRY = { baseMs: 500, capMs: 30_000 };
const PAUSE_MS = 10_000;
/** What is deleted in one transaction. */
const AT_ONCE = 32;
/** More than so many of one node, and more than this share of what is ours there, are rather a misunderstanding. */
const HELD_FROM = 20;
const HELD_SHARE = 0.3;

export interface ServiceStraysOptions {
  readonly consul: Pick<ConsulReads, 'nodes'>;
  readonly gate: Pick<WriteGate, 'commit' | 'isDryRun'>;
  readonly installId: string;
  readonly ledger: Pick<Ledger, 'isLoaded' | 'record' | 'records' | 'rivalFor'>;
  readonly serviceMirror: Pick<ServiceMirror, 'seen' | 'doubt'>;
  readonly knowledge: Pick<Knowledge, 'complete'>;
  /** Whether it is known that there is no such resource. */
  readonly isGone: (ref: ResourceRef) => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Ends the tenure. */
  readonly signal: AbortSignal;
}

interface Stray {
  readonly owner: ResourceRef;
  readonly operation: CatalogWrite;
}

/**
 * Removes services with the mark of a resource of this install that no record lists. Such come from a registration that Consul
 * carried out when nobody waited for it any more, or are left of a record that somebody deleted; what is retained has no mark. Looked for
 * on all nodes that are the install's when a tenure begins, then on those where it has something. Never rejects.
 */
export class ServiceStrays {
  readonly #options: ServiceStraysOptions;
  /** There were instances in this tenure: the virtual nodes are looked at also when nothing is to stand there any more. */
  #isInUse = false;

  constructor(options: ServiceStraysOptions) {
    this.#options = options;
  }

  /** Resolves when all nodes were looked at once, or the tenure has ended. */
  async begin(): Promise<void> {
    const { knowledge, signal, clock, random, gate } = this.#options;
    if (gate.isDryRun) return;
    await Promise.race([knowledge.complete, untilAborted(signal)]);
    const range = RETRY;
    await untilDone(() => this.#sweepAll(), { clock, random, signal, onFailure: this.#say, range });
  }

  /** Until the tenure ends. */
  async follow(): Promise<void> {
    const { signal, clock, gate } = this.#options;
    while (!signal.aborted && !gate.isDryRun) {
      await pause(clock, PAUSE_MS, signal);
      if (signal.aborted) return;
      await this.look().catch(this.#say);
    }
  }

  /** Reads the nodes where something looks like a stray, or of which nothing is remembered. @throws as `WriteGate.commit`. */
  async look(): Promise<void> {
    const { installId, serviceMirror } = this.#options;
    const tracked = this.#tracked();
    this.#isInUse ||= tracked.size > 0;
    if (!this.#isInUse) return;
    for (const node of new Set([...virtualNodes(installId), ...tracked])) {
      const view = serviceMirror.seen(node);
      // One that is tracked and not known is about to be read by those that track it.
      const isSuspect =
        view === undefined ? !tracked.has(node) : this.#straysIn(node, view.services()).length > 0;
      if (isSuspect) await this.#sweep(node);
    }
  }

  async #sweepAll(): Promise<void> {
    const { consul, installId, signal } = this.#options;
    const made = await consul.nodes.withMeta(MADE_BY, installId, { signal, consistency: 'consistent' });
    const named = made.value.flatMap(node => ourName(node) ?? []);
    for (const node of new Set([...virtualNodes(installId), ...named, ...this.#tracked()]))
      await this.#sweep(node);
  }

  #tracked(): Set<NodeName> {
    const nodes = new Set<NodeName>();
    for (const record of this.#options.ledger.records()) {
      for (const name of listedNames(record).keys()) {
        const place = parseInstanceName(name);
        if (place?.kind === 'catalog') nodes.add(parseNodeName(place.node));
      }
    }
    return nodes;
  }

  async #sweep(node: NodeName): Promise<void> {
    const { consul, gate, serviceMirror, logger, signal } = this.#options;
    const reading = { signal, consistency: 'consistent' } as const;
    const { value } = await consul.nodes.services(node, reading);
    if (value.node === undefined) return;
    // Read before the ledger is asked: what was listed then, and has gone since, is not removed once more.
    const strays = this.#straysIn(node, value.services);
    if (strays.length === 0) return;
    const checks = await consul.nodes.checks(node, reading);
    if (hasAgent({ node: value.node, checks: checks.value })) return;
    const ours = value.services.filter(row => this.#ownerOf(row) !== undefined).length;
    if (strays.length > HELD_FROM && strays.length > ours * HELD_SHARE) {
      logger.warn({ node, count: strays.length }, 'so many services without a record are left as they are');
      return;
    }
    for (let at = 0; at < strays.length; at += AT_ONCE) {
      const part = strays.slice(at, at + AT_ONCE);
      const [{ owner }] = part as [Stray, ...Stray[]];
      const outcome = await gate.commit({ owner, operations: part.map(({ operation }) => operation) });
      serviceMirror.doubt(node);
      if (outcome.kind !== 'applied') continue;
      logger.info({ node, count: part.length }, 'services without a record were removed');
    }
  }

  #straysIn(node: NodeName, rows: Iterable<ServiceRow>): Stray[] {
    const { ledger } = this.#options;
    if (!ledger.isLoaded) return [];
    const strays: Stray[] = [];
    for (const row of rows) {
      const owner = this.#ownerOf(row);
      if (owner === undefined || !isKnownKind(row)) continue;
      const { id: standing, name } = row.service;
      const id = parsedId(standing);
      if (id === undefined || !this.#isLost(owner, instanceName({ kind: 'catalog', node, id }))) continue;
      const index = row.modifyIndex;
      strays.push({
        owner,
        operation: { realm: 'catalog', verb: 'service-delete-cas', node, id, name, index },
      });
    }
    return strays;
  }

  #ownerOf({ service: { meta } }: ServiceRow): ResourceRef | undefined {
    return markedOwner(meta, this.#options.installId);
  }

  /** What has no record yet may be about to take up again what its record listed. */
  #isLost(owner: ResourceRef, name: string): boolean {
    const { ledger, isGone } = this.#options;
    const record = ledger.record(owner);
    if (record === undefined ? !isGone(owner) : record.head.phase !== 'settled') return false;
    return ledger.rivalFor(name, NOBODY) === undefined;
  }

  readonly #say = (error: unknown): void => {
    const { signal, logger } = this.#options;
    if (!signal.aborted) logger.debug({ err: error }, 'services without a record could not be removed yet');
  };
}

/** No resource is called so: whoever holds a name is another. */
const NOBODY: ResourceRef = { kind: 'ConsulService', namespace: '', name: '' };

function ourName(node: string): NodeName | undefined {
  try {
    return parseNodeName(node);
  } catch {
    return undefined;
  }
}

/** In capitals it is not what we wrote. */
function parsedId(id: string): ReturnType<typeof parseServiceId> | undefined {
  try {
    return parseServiceId(id);
  } catch {
    return undefined;
  }
}
