import type { CheckRow, NodeRow, NodeServices, ServiceRow } from '../consul/nodes.ts';
import { foldId } from '../consul/service-ids.ts';
import type { Answer, ModifyIndex } from '../consul/types.ts';

/** Ids, in lower case, of the instances that stand differently from before; the checks of an instance are part of it. */
export type Moved = ReadonlySet<string>;

interface Row {
  readonly modifyIndex: ModifyIndex;
}

/**
 * The rows of one table of a node. What is seen is ordered without any clock: a row's ModifyIndex only grows, over
 * deletions too, and the index of a whole answer is that of the last thing in it that moved. So
 *
 *     an answer older than another one              is dropped as a whole
 *     a row older than an own write or deletion     is not believed
 *     a row that an answer lacks                    is gone if the answer's index is the row's or higher
 */
class Table<R extends Row> {
  readonly #rows = new Map<string, R>();
  /** Up to which ModifyIndex what stood there was deleted by ourselves. */
  readonly #deleted = new Map<string, ModifyIndex>();
  #asOf = 0;
  #highest = 0;

  /** A read that begins now and is at a lower index is of another history. */
  get highest(): number {
    return this.#highest;
  }

  get asOf(): number {
    return this.#asOf;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(id: string): R | undefined {
    return this.#rows.get(foldId(id));
  }

  values(): IterableIterator<R> {
    return this.#rows.values();
  }

  /** @returns those that stand differently: before, and now. */
  learn(all: ReadonlyMap<string, R>, { index, filteredByAcl }: Reading): readonly R[] {
    if (index < this.#asOf) return [];
    this.#asOf = index;
    this.#highest = Math.max(this.#highest, index);
    const moved: R[] = [];
    for (const [id, row] of all) {
      const known = this.#rows.get(id);
      if (row.modifyIndex <= (this.#deleted.get(id) ?? 0)) continue;
      this.#deleted.delete(id);
      if (known !== undefined && known.modifyIndex >= row.modifyIndex) continue;
      this.#rows.set(id, row);
      moved.push(...(known === undefined ? [row] : [known, row]));
    }
    // What a token may not see looks absent.
    if (filteredByAcl) return moved;
    for (const [id, known] of this.#rows) {
      if (all.has(id) || known.modifyIndex > index) continue;
      this.#rows.delete(id);
      moved.push(known);
    }
    for (const [id, replaced] of this.#deleted)
      if (!all.has(id) && index >= replaced) this.#deleted.delete(id);
    return moved;
  }

  wrote(id: string, row: R): void {
    const folded = foldId(id);
    this.#highest = Math.max(this.#highest, row.modifyIndex);
    const lasts = Math.max(this.#rows.get(folded)?.modifyIndex ?? 0, this.#deleted.get(folded) ?? 0);
    // What an answer lacked that showed all up to a later index was deleted by others since.
    const isMissed = !this.#rows.has(folded) && this.#asOf >= row.modifyIndex;
    if (isMissed || lasts > row.modifyIndex) return;
    this.#deleted.delete(folded);
    this.#rows.set(folded, row);
  }

  /** @param replaced what the deletion believed, and so found. */
  deleted(id: string, replaced: ModifyIndex): void {
    const known = this.#rows.get(foldId(id));
    if (known !== undefined && known.modifyIndex > replaced) return;
    this.#rows.delete(foldId(id));
    this.#deleted.set(foldId(id), replaced);
  }
}

type Reading = Pick<Answer<unknown>, 'index' | 'filteredByAcl'>;

/** What stands on one node, in one history of Consul: after a restore there is a new one of these. */
export class NodeMirror {
  readonly #services = new Table<ServiceRow>();
  readonly #checks = new Table<CheckRow>();
  #node: NodeRow | undefined;
  /** Of `#checks`, until one of those moves. */
  #byService: ReadonlyMap<string, readonly CheckRow[]> | undefined;

  get node(): NodeRow | undefined {
    return this.#node;
  }

  /** Raft indexes up to which nothing is missing; 0: not read yet. */
  get asOf(): { readonly services: number; readonly checks: number } {
    return { services: this.#services.asOf, checks: this.#checks.asOf };
  }

  /** What a read that begins now must reach, or Consul is in another history. */
  get highest(): { readonly services: number; readonly checks: number } {
    return { services: this.#services.highest, checks: this.#checks.highest };
  }

  /** Neither a service nor a check is known on it. */
  get isEmpty(): boolean {
    return this.#services.size + this.#checks.size === 0;
  }

  services(): IterableIterator<ServiceRow> {
    return this.#services.values();
  }

  service(id: string): ServiceRow | undefined {
    return this.#services.get(id);
  }

  /** Those of an instance, in the order of their ids; with the empty id those of the node. */
  checksOf(serviceId: string): readonly CheckRow[] {
    this.#byService ??= grouped(this.#checks.values());
    return this.#byService.get(foldId(serviceId)) ?? [];
  }

  check(id: string): CheckRow | undefined {
    return this.#checks.get(id);
  }

  learnServices({ value, ...reading }: Answer<NodeServices>): Moved {
    if (reading.index >= this.#services.asOf && (value.node !== undefined || !reading.filteredByAcl))
      this.#node = value.node;
    const rows = new Map(value.services.map(row => [foldId(row.service.id), row]));
    const moved = new Set(this.#services.learn(rows, reading).map(({ service }) => foldId(service.id)));
    for (const id of moved) if (this.service(id) === undefined) this.#lostChecks(id, reading.index);
    return moved;
  }

  /** What stood for an instance that is gone as of this index went with it. */
  #lostChecks(serviceId: string, index: number): void {
    for (const { id, modifyIndex } of this.checksOf(serviceId))
      if (modifyIndex <= index) this.deletedCheck(id, modifyIndex);
  }

  learnChecks({ value, ...reading }: Answer<readonly CheckRow[]>): Moved {
    this.#byService = undefined;
    const rows = new Map(value.map(row => [foldId(row.id), row]));
    return new Set(this.#checks.learn(rows, reading).map(({ serviceId }) => foldId(serviceId)));
  }

  wroteNode(node: NodeRow): void {
    this.#node = node;
  }

  wroteService(row: ServiceRow): void {
    this.#services.wrote(row.service.id, row);
  }

  /** With it went its checks. */
  deletedService(id: string, replaced: ModifyIndex): void {
    this.#services.deleted(id, replaced);
    for (const { id: check, modifyIndex } of this.checksOf(id)) this.#checks.deleted(check, modifyIndex);
    this.#byService = undefined;
  }

  wroteCheck(row: CheckRow): void {
    this.#byService = undefined;
    this.#checks.wrote(row.id, row);
  }

  deletedCheck(id: string, replaced: ModifyIndex): void {
    this.#byService = undefined;
    this.#checks.deleted(id, replaced);
  }
}

function grouped(checks: Iterable<CheckRow>): ReadonlyMap<string, readonly CheckRow[]> {
  const groups = new Map<string, CheckRow[]>();
  const inOrder = [...checks].sort((one, other) => (one.id < other.id ? -1 : 1));
  for (const check of inOrder) {
    const group = groups.get(foldId(check.serviceId)) ?? [];
    groups.set(foldId(check.serviceId), group);
    group.push(check);
  }
  return groups;
}
