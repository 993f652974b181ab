import type { CatalogWrite } from '../../../../src/commit/operations.ts';
import type { CheckRow, ServiceRow } from '../../../../src/consul/nodes.ts';
import { sameCheck, sameService, type ServiceRegistration } from '../../../../src/consul/registration.ts';
import { foldId, type NodeName } from '../../../../src/consul/service-ids.ts';
import type { ModifyIndex } from '../../../../src/consul/types.ts';
import type { SeenInstance } from '../../../../src/reconcilers/service/types.ts';

interface Rows {
  readonly services: Map<string, ServiceRow>;
  readonly checks: Map<string, CheckRow>;
}

/** Consul's catalog, as far as transactions and registrations go; what it does is fixed by the contract tests. */
export class ModelCatalog {
  #nodes = new Map<string, Rows>();
  #index = 10;
  /** Rows that were written, and did not look so before. */
  writes = 0;

  has(node: string): boolean {
    return this.#nodes.has(node);
  }

  seen(node: string, id: string): SeenInstance | undefined {
    const row = this.#nodes.get(node)?.services.get(foldId(id));
    if (row === undefined) return undefined;
    const checks = [...(this.#nodes.get(node)?.checks.values() ?? [])];
    return { row, checks: checks.filter(({ serviceId }) => foldId(serviceId) === foldId(id)) };
  }

  check(node: string, id: string): CheckRow | undefined {
    return this.#nodes.get(node)?.checks.get(foldId(id));
  }

  /** Everything that stands, by `/<node>/<id>`. */
  all(): Map<string, SeenInstance> {
    return new Map(
      [...this.#nodes].flatMap(([node, { services }]) =>
        [...services.keys()].map(id => [`/${node}/${id}`, this.seen(node, id) as SeenInstance] as const),
      ),
    );
  }

  nodes(): string[] {
    return [...this.#nodes.keys()];
  }

  addNode(node: string): void {
    if (!this.#nodes.has(node)) this.#nodes.set(node, { services: new Map(), checks: new Map() });
  }

  /** A node that the operator made goes with its last service. */
  removeNode(node: string): void {
    this.#nodes.delete(node);
  }

  /** All of them or none. @returns what was refused. */
  transact(operations: readonly CatalogWrite[]): CatalogWrite | undefined {
    const before = this.#nodes;
    const { writes } = this;
    this.#nodes = new Map(
      [...before].map(([node, { services, checks }]) => [
        node,
        { services: new Map(services), checks: new Map(checks) },
      ]),
    );
    for (const operation of operations) {
      if (this.#apply(operation)) continue;
      this.#nodes = before;
      this.writes = writes;
      return operation;
    }
    return undefined;
  }

  /** Compares nothing. */
  register(node: NodeName, service: ServiceRegistration): void {
    this.#putService(node, service);
  }

  /** What somebody does to a row without asking. */
  edit(node: string, service: ServiceRegistration, kind = ''): void {
    this.addNode(node);
    this.#putService(node, service, kind);
  }

  editCheck(node: string, row: Omit<CheckRow, 'modifyIndex'>): void {
    if (this.seen(node, row.serviceId) !== undefined) this.#putCheck(node, row);
  }

  remove(node: string, id: string): void {
    const rows = this.#nodes.get(node);
    if (rows === undefined) return;
    rows.services.delete(foldId(id));
    for (const [key, { serviceId }] of rows.checks) {
      if (foldId(serviceId) === foldId(id)) rows.checks.delete(key);
    }
  }

  removeCheck(node: string, id: string): void {
    this.#nodes.get(node)?.checks.delete(foldId(id));
  }

  #apply(operation: CatalogWrite): boolean {
    switch (operation.verb) {
      case 'node-create': {
        const isNew = !this.#nodes.has(operation.node.node);
        this.addNode(operation.node.node);
        return isNew;
      }
      case 'service-cas': {
        const { node, service, index } = operation;
        if (!this.#nodes.has(node) || this.#indexOf(node, service.id) !== index) return false;
        this.#putService(node, service);
        return true;
      }
      case 'service-get':
        return this.#indexOf(operation.node, operation.id) !== 0;
      case 'service-delete-cas': {
        const { node, id, index } = operation;
        const stands = this.#indexOf(node, id);
        if (stands === 0 || stands !== index) return false;
        this.remove(node, id);
        this.writes += 1;
        return true;
      }
      case 'check-cas': {
        const { node, check, result, index } = operation;
        if ((this.#nodes.get(node)?.checks.get(check.id)?.modifyIndex ?? 0) !== index) return false;
        // Applied, says Consul, and drops it: the choke point allows no such unit.
        if (this.#indexOf(node, check.serviceId) === 0) throw new Error('a new check without its service');
        this.#putCheck(node, { id: check.id, serviceId: check.serviceId, check, ...result });
        return true;
      }
      case 'check-delete-cas': {
        const { node, id, index } = operation;
        const row = this.#nodes.get(node)?.checks.get(id);
        if (row === undefined || row.modifyIndex !== index) return false;
        this.removeCheck(node, id);
        this.writes += 1;
        return true;
      }
    }
  }

  #indexOf(node: string, id: string): number {
    return this.#nodes.get(node)?.services.get(foldId(id))?.modifyIndex ?? 0;
  }

  #putService(node: string, service: ServiceRegistration, kind = kindOf(service)): void {
    const rows = this.#nodes.get(node);
    if (rows === undefined) throw new Error('a service without its node');
    const stood = rows.services.get(foldId(service.id));
    if (stood !== undefined && stood.kind === kind && sameService(stood.service, service)) return;
    rows.services.set(foldId(service.id), { service, kind, modifyIndex: this.#next() });
  }

  #putCheck(node: string, row: Omit<CheckRow, 'modifyIndex'>): void {
    const rows = this.#nodes.get(node);
    const stood = rows?.checks.get(foldId(row.id));
    const isSame =
      stood?.status === row.status && stood.output === row.output && sameCheck(stood.check, row.check);
    if (!isSame) rows?.checks.set(foldId(row.id), { ...row, modifyIndex: this.#next() });
  }

  #next(): ModifyIndex {
    this.writes += 1;
    return ++this.#index as ModifyIndex;
  }
}

function kindOf({ connect }: ServiceRegistration): string {
  return connect?.kind === 'proxy' ? 'connect-proxy' : '';
}
