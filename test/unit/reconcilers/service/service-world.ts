import type { AdoptionPolicy, DeletionPolicy, DriftPolicy } from '../../../../src/api/v1alpha1/common.ts';
import { CLAIMS_KEY, type KeyOperation, type WriteOperation } from '../../../../src/commit/operations.ts';
import type { CheckResult } from '../../../../src/consul/registration.ts';
import { type CheckPlace, checkPlace } from '../../../../src/consul/service-ids.ts';
import { type ModifyIndex, NOT_THERE } from '../../../../src/consul/types.ts';
import { parseInstanceName, readInstanceState } from '../../../../src/core/instance-names.ts';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import { listedNames, type OwnerRecord } from '../../../../src/ownership/record.ts';
import { isOwned } from '../../../../src/reconcilers/service/compare.ts';
import { ownerMark } from '../../../../src/reconcilers/service/marks.ts';
import { planService, planServiceEnd } from '../../../../src/reconcilers/service/plan.ts';
import type {
  DrainMs,
  SeenInstance,
  ServiceChange,
  ServiceFacts,
  ServicePlan,
  WishedInstance,
} from '../../../../src/reconcilers/service/types.ts';
import { cutCommit } from '../../../../src/reconcilers/service/units.ts';
import { ModelCatalog } from './model-catalog.ts';
import { anInstance, aSidecar, type Declared, INSTALL, NOW_MS } from './plan-builders.ts';

export interface ResourceSpec {
  readonly instances: readonly (Declared & { readonly sidecar?: boolean })[];
  readonly onDelete: DeletionPolicy;
  readonly adoptionPolicy: AdoptionPolicy;
  readonly driftPolicy: DriftPolicy;
  readonly drainMs: DrainMs;
}

interface Resource extends ResourceSpec {
  readonly uid: string;
  readonly generation: number;
}

/** How a step ends. */
export type Ended = 'done' | 'nothing' | 'withheld' | 'refused';

/** Resources of one install, their records, what checks find, and the catalog of one Consul in which others write as well. */
export class ServiceWorld {
  readonly catalog = new ModelCatalog();
  readonly resources = new Map<string, Resource>();
  /** What the target of each check says, by its place; not asked yet: undefined. */
  readonly found = new Map<CheckPlace, CheckResult>();
  readonly #criticalSince = new Map<CheckPlace, number>();
  readonly #records = new Map<string, OwnerRecord>();
  readonly #keys = new Map<string, number>();
  #index = 100;
  #uids = 0;
  nowMs = NOW_MS;
  epoch = 1;
  /** Transactions and requests that were carried out. */
  steps = 0;

  declare(name: string, spec: ResourceSpec): void {
    const { uid = `u-${++this.#uids}`, generation = 0 } = this.resources.get(name) ?? {};
    this.resources.set(name, { ...spec, uid, generation: generation + 1 });
  }

  record(name: string): OwnerRecord | undefined {
    return this.#records.get(name);
  }

  names(name: string): ReadonlyMap<string, string> {
    const record = this.#records.get(name);
    return record === undefined ? new Map() : listedNames(record);
  }

  everybody(): string[] {
    return [...new Set([...this.resources.keys(), ...this.#records.keys()])];
  }

  wished(name: string): Map<string, WishedInstance> {
    const ref = refOf(name);
    const all = (this.resources.get(name)?.instances ?? []).flatMap(declared =>
      declared.sidecar === true
        ? [anInstance(declared, ref), aSidecar(declared, ref)]
        : [anInstance(declared, ref)],
    );
    return new Map(all.map(wished => [wished.name, wished]));
  }

  /** What a check says from now on. */
  say(place: CheckPlace, result: CheckResult): void {
    this.found.set(place, result);
    if (result.status !== 'critical') this.#criticalSince.delete(place);
    else if (!this.#criticalSince.has(place)) this.#criticalSince.set(place, this.nowMs);
  }

  /** Checks that nobody has run of what stands find something, if their targets have not said anything: false if there are none. */
  runNewChecks(): boolean {
    const places = this.everybody().flatMap(name =>
      [...this.wished(name).values()].flatMap(({ name: instance, node, checks }) => {
        const seen = this.seen(instance);
        const isNew = (id: string): boolean => seen !== undefined && !seen.checks.some(row => row.id === id);
        const probes = checks.filter(({ check, says }) => says.kind === 'probe' && isNew(check.id));
        return probes.map(({ check }) => checkPlace(node.node, check.id));
      }),
    );
    const unasked = places.filter(place => !this.found.has(place));
    for (const place of unasked) this.say(place, { status: 'passing', output: 'ok' });
    return unasked.length > 0;
  }

  /** Another process leads, which has run no check yet. */
  forgetHealth(): void {
    this.found.clear();
    this.#criticalSince.clear();
  }

  facts(name: string): ServiceFacts {
    return {
      record: this.#records.get(name),
      seen: instance => this.seen(instance),
      node: node =>
        this.catalog.has(node)
          ? { hasAgent: false, isOfEsm: false, checks: [], check: id => this.catalog.check(node, id) }
          : undefined,
      rival: instance => {
        const rival = [...this.#records.keys()].find(
          other => other !== name && this.names(other).has(instance),
        );
        return rival === undefined ? undefined : { kind: 'resource', ref: refOf(rival) };
      },
      claims: { index: this.#keyIndex(CLAIMS_KEY), asOf: 1, complete: true },
      health: {
        verdict: place => this.found.get(place),
        criticalForMs: place => {
          const since = this.#criticalSince.get(place);
          return since === undefined ? undefined : this.nowMs - since;
        },
      },
      nowMs: this.nowMs,
    };
  }

  seen(instance: string): SeenInstance | undefined {
    const place = parseInstanceName(instance);
    return place && this.catalog.seen(place.node, place.id);
  }

  plan(name: string): ServicePlan {
    const resource = this.resources.get(name);
    const facts = this.facts(name);
    if (resource === undefined) {
      const onDelete = facts.record?.head.onDelete ?? 'Retain';
      return planServiceEnd(facts, {
        installId: INSTALL,
        onDelete,
        drainMs: { instances: 0, kubernetes: 5_000 },
      });
    }
    const wish = { instances: this.wished(name), missing: undefined };
    const declarer = { ...resource, installId: INSTALL, ref: refOf(name), epoch: this.epoch };
    return planService(wish, facts, { ...declarer, enableTagOverride: false });
  }

  /** @param registers how many requests of their own get through before the process dies. */
  apply(name: string, change: ServiceChange, registers = Number.POSITIVE_INFINITY): Ended {
    if (change.step === 'agent') throw new Error('no agent here');
    this.steps += 1;
    if (change.step === 'commit') return this.#commit(name, change);
    let ended: Ended = 'refused';
    for (const { node, service, before } of change.instances.slice(0, registers)) {
      if ((this.catalog.seen(node, service.id)?.row.modifyIndex ?? NOT_THERE) !== before) continue;
      this.catalog.register(node, service);
      ended = 'done';
    }
    return ended;
  }

  isOwned(instance: string): boolean {
    return this.everybody().some(name => this.owns(name, instance));
  }

  owns(name: string, instance: string): boolean {
    const recorded = this.names(name).get(instance);
    if (recorded === undefined) return false;
    return isOwned(readInstanceState(recorded), this.seen(instance), ownerMark(INSTALL, refOf(name)));
  }

  /** Nodes go with their last service. */
  tidyNodes(): void {
    for (const node of this.catalog.nodes()) {
      if (![...this.catalog.all().keys()].some(at => at.startsWith(`/${node}/`)))
        this.catalog.removeNode(node);
    }
  }

  #commit(name: string, change: Extract<ServiceChange, { step: 'commit' }>): Ended {
    const facts = this.facts(name);
    const context = {
      installId: INSTALL,
      ref: refOf(name),
      record: facts.record,
      claimsIndex: facts.claims.index,
    };
    const cut = cutCommit(change, context);
    if (cut.claim.names.some(instance => facts.rival(instance) !== undefined)) return 'refused';
    const keys = cut.operations.filter(isOfKey);
    if (!keys.every(operation => this.#holds(operation))) return 'refused';
    if (this.catalog.transact(cut.operations.filter(operation => operation.realm === 'catalog')))
      return 'refused';
    for (const operation of keys) this.#write(operation);
    const after = cut.after(key => this.#keyIndex(key));
    if (after === undefined) this.#records.delete(name);
    else this.#records.set(name, after);
    this.#stopAsking();
    return 'done';
  }

  /** What is not there is not asked, but for what was taken out. */
  #stopAsking(): void {
    const asked = new Set<string>();
    for (const name of this.resources.keys()) {
      for (const { name: instance, node, checks } of this.wished(name).values()) {
        if (this.names(name).has(instance))
          for (const { check } of checks) asked.add(checkPlace(node.node, check.id));
      }
    }
    for (const place of this.#criticalSince.keys()) if (!asked.has(place)) this.#criticalSince.delete(place);
  }

  #holds(operation: KeyOperation): boolean {
    const index = this.#keyIndex(operation.key);
    return operation.verb === 'check-not-exists'
      ? index === 0
      : 'index' in operation && operation.index === index;
  }

  #write({ verb, key }: KeyOperation): void {
    if (verb === 'cas') this.#keys.set(key, ++this.#index);
    if (verb === 'delete-cas') this.#keys.delete(key);
  }

  #keyIndex(key: string): ModifyIndex {
    return (this.#keys.get(key) ?? NOT_THERE) as ModifyIndex;
  }
}

function isOfKey(operation: WriteOperation): operation is KeyOperation {
  return operation.realm !== 'catalog';
}

export function refOf(name: string): ResourceRef {
  return { kind: 'ConsulService', namespace: 'shop', name };
}
