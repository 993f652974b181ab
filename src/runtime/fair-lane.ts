import { LinkedList, type ListNode } from './linked-list.ts';

/** The values one tenant has in a lane, and the tenant's place in the round. */
interface Tenant<T> {
  readonly name: string;
  readonly values: LinkedList<T>;
  turn: ListNode<Tenant<T>> | undefined;
}

/** Where a value stands in a lane, to take it out again. */
export interface LaneEntry<T> {
  readonly tenant: Tenant<T>;
  readonly node: ListNode<T>;
}

/**
 * First in, first out within a tenant; round robin between tenants: one with 5,000 values delays another's only
 * value by at most one hand-out. Every operation takes constant time.
 */
export class FairLane<T> {
  readonly #tenants = new Map<string, Tenant<T>>();
  readonly #round = new LinkedList<Tenant<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(tenantName: string, value: T): LaneEntry<T> {
    const tenant = this.#tenants.get(tenantName) ?? this.#join(tenantName);
    this.#size += 1;
    return { tenant, node: tenant.values.push(value) };
  }

  take(): T | undefined {
    const tenant = this.#round.shift();
    const value = tenant?.values.shift();
    if (tenant === undefined || value === undefined) return undefined;
    this.#size -= 1;
    if (tenant.values.isEmpty) this.#tenants.delete(tenant.name);
    else tenant.turn = this.#round.push(tenant);
    return value;
  }

  /** `entry` must still be in this lane. */
  remove({ tenant, node }: LaneEntry<T>): void {
    tenant.values.remove(node);
    this.#size -= 1;
    if (!tenant.values.isEmpty) return;
    if (tenant.turn !== undefined) this.#round.remove(tenant.turn);
    this.#tenants.delete(tenant.name);
  }

  #join(name: string): Tenant<T> {
    const tenant: Tenant<T> = { name, values: new LinkedList(), turn: undefined };
    tenant.turn = this.#round.push(tenant);
    this.#tenants.set(name, tenant);
    return tenant;
  }
}
