import type { AgentCheckSeen, AgentRegistration } from '../../../../src/consul/agent-services.ts';
import type { ServiceRegistration } from '../../../../src/consul/registration.ts';
import { parseServiceId, type ServiceId } from '../../../../src/consul/service-ids.ts';
import type { ModifyIndex } from '../../../../src/consul/types.ts';
import { instanceName, parseInstanceName } from '../../../../src/core/instance-names.ts';
import type { AgentView } from '../../../../src/mirror/agent-mirror.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import type { Owner } from '../../../../src/ownership/owner.ts';
import { type Head, listedNames, type OwnerRecord } from '../../../../src/ownership/record.ts';
import { type AgentDesiring, desireAgentService } from '../../../../src/reconcilers/service/agent-desire.ts';
import { planAgentServiceEnd } from '../../../../src/reconcilers/service/agent-end.ts';
import { planAgentEndpoints, planAgentService } from '../../../../src/reconcilers/service/agent-plan.ts';
import type { AgentFacts, AgentWish } from '../../../../src/reconcilers/service/agent-types.ts';
import type { KubernetesSource } from '../../../../src/reconcilers/service/endpoints.ts';
import type {
  AgentWrite,
  Declarer,
  ServiceChange,
  ServicePlan,
} from '../../../../src/reconcilers/service/types.ts';
import { aResource } from './spec-builders.ts';

export const REF = { kind: 'ConsulService', namespace: 'shop', name: 'orders' };
export const INSTALL = 'install-a';
export const NOW_MS = Date.parse('2026-02-01T12:00:00Z');

const fingerprinter = new Fingerprinter(Buffer.alloc(32, 7));
const INDEX = 10 as ModifyIndex;

/** An agent in memory: what it shows, and (`defined`) what it runs without showing it. */
export class ModelAgent {
  node = 'agent-1';
  memory = '11111111-0000-0000-0000-000000000000';
  runsScripts = true;
  isWhole = true;
  readonly services = new Map<string, ServiceRegistration>();
  readonly checks = new Map<string, AgentCheckSeen>();
  readonly defined = new Map<string, unknown>();
  /** For how long which check had been critical when it was last seen. */
  readonly criticalMs = new Map<string, number>();
  registrations = 0;

  view(): AgentView {
    const { node, memory, runsScripts, isWhole } = this;
    const services = new Map(this.services);
    const checks = Map.groupBy([...this.checks.values()], ({ serviceId }) => serviceId);
    const criticalMs = new Map(this.criticalMs);
    return {
      node,
      memory,
      runsScripts,
      isWhole,
      service: id => services.get(id),
      checksOf: id => checks.get(id) ?? [],
      criticalMs: (_, checkId) => criticalMs.get(checkId) ?? 0,
    };
  }

  register({ service, checks, sidecar, superseded }: AgentRegistration): void {
    this.registrations += 1;
    const named = new Set<string>(checks.map(({ id }) => id));
    for (const { id, serviceId } of this.checks.values()) {
      const isStale = superseded === 'all' ? !named.has(id) : superseded.includes(id as never);
      if (serviceId === service.id && isStale) this.removeCheck(id);
    }
    this.services.set(service.id, service);
    for (const check of checks) {
      const { kind } = check;
      const status = this.checks.get(check.id)?.status ?? 'critical';
      const run = kind.kind === 'ttl' ? undefined : kind;
      this.defined.set(check.id, check);
      this.addCheck(service.id, check.id, {
        name: check.name,
        notes: check.notes,
        type: kind.kind,
        interval: run === undefined ? '' : `${run.intervalMs}ms`,
        timeout: run === undefined ? '' : `${run.timeoutMs}ms`,
        status,
      });
    }
    if (sidecar !== undefined) this.#expand(service, sidecar);
  }

  #expand(service: ServiceRegistration, sidecar: NonNullable<AgentRegistration['sidecar']>): void {
    const id = parseServiceId(`${service.id}-sidecar-proxy`);
    const { port = 21_000, upstreams } = sidecar;
    this.services.set(id, {
      ...service,
      id,
      name: `${service.name}-sidecar-proxy`,
      port,
      connect: {
        kind: 'proxy',
        destinationName: service.name,
        destinationId: service.id,
        localAddress: '127.0.0.1',
        localPort: service.port,
        upstreams,
      },
    });
  }

  deregister(id: string): void {
    for (const one of [id, `${id}-sidecar-proxy`]) {
      this.services.delete(one);
      for (const check of this.checks.values()) if (check.serviceId === one) this.removeCheck(check.id);
    }
  }

  maintain(id: string, reason: string | undefined): void {
    const check = `_service_maintenance:${id}`;
    if (reason === undefined) this.checks.delete(check);
    else if (this.services.has(id) && !this.checks.has(check)) {
      this.addCheck(id, check, { notes: reason, type: 'maintenance' });
    }
  }

  addCheck(serviceId: string, id: string, fields: Partial<AgentCheckSeen> = {}): void {
    const check = { id, serviceId, name: id, notes: '', type: 'ttl', interval: '', timeout: '' };
    this.checks.set(id, { ...check, status: 'critical', output: '', ...fields });
  }

  removeCheck(id: string): void {
    this.checks.delete(id);
    this.defined.delete(id);
  }

  say(status: string): void {
    for (const [id, check] of this.checks)
      if (check.type !== 'maintenance') this.checks.set(id, { ...check, status });
  }

  /** It comes back with nothing. */
  lose(): void {
    this.memory = `2${this.memory.slice(1)}`;
    this.services.clear();
    this.checks.clear();
    this.defined.clear();
  }
}

/** One resource between an agent and its owner record. */
export class AgentWorld {
  readonly agent = new ModelAgent();
  readonly names = new Map<string, string>();
  head: Head | undefined;
  nowMs = NOW_MS;
  rivals = new Set<string>();
  claimsComplete = true;
  declarer: Declarer = {
    installId: INSTALL,
    ref: REF,
    uid: 'u',
    generation: 1,
    epoch: 1,
    onDelete: 'Delete',
    adoptionPolicy: 'IfEqual',
    driftPolicy: 'Correct',
    enableTagOverride: false,
    drainMs: { instances: 0, kubernetes: 5_000 },
  };

  get record(): OwnerRecord | undefined {
    const { head } = this;
    if (head === undefined) return undefined;
    return { ref: REF, head, shards: new Map([[0, { index: INDEX, names: new Map(this.names) }]]) };
  }

  facts(): AgentFacts {
    const rival: Owner = { kind: 'resource', ref: { ...REF, name: 'rival' } };
    return {
      record: this.record,
      agent: this.agent.view(),
      rival: name => (this.rivals.has(parseInstanceName(name)?.id ?? '') ? rival : undefined),
      claims: { index: INDEX, asOf: 1, complete: this.claimsComplete },
      refused: () => undefined,
      nowMs: this.nowMs,
    };
  }

  desire(spec: Spec, more: Partial<AgentDesiring> = {}) {
    return desireAgentService({
      resource: aResource({ registration: 'Agent', ...spec }),
      installId: INSTALL,
      endpoints: undefined,
      fingerprinter,
      agent: this.agent.view(),
      allowed: { agent: true, scripts: true },
      refusalOf: () => undefined,
      ...more,
    });
  }

  wish(spec: Spec, endpoints?: KubernetesSource): AgentWish {
    const desire = this.desire(spec, { endpoints });
    if (desire.kind !== 'desired') throw new Error(desire.message);
    return desire.wish;
  }

  plan(spec: Spec, endpoints?: KubernetesSource): ServicePlan {
    const desire = this.desire(spec, { endpoints });
    if (desire.kind === 'desired') return planAgentService(desire.wish, this.facts(), this.declarer);
    const present = 'present' in desire ? desire.present : undefined;
    return planAgentEndpoints(present, this.facts(), this.declarer) ?? desire;
  }

  planEnd(onDelete: 'Delete' | 'Retain' = 'Delete'): ServicePlan {
    return planAgentServiceEnd(this.facts(), onDelete, this.declarer);
  }

  apply(change: ServiceChange): void {
    if (change.step === 'register') throw new Error('a step of the catalog');
    if (change.step === 'agent') return change.writes.forEach(write => this.write(write));
    for (const { name, record } of change.instances) {
      if (record?.to === undefined) this.names.delete(name);
      else this.names.set(name, record.to);
    }
    this.head = change.head;
    if (change.head === undefined) this.names.clear();
  }

  write(write: AgentWrite): void {
    if (write.verb === 'register') this.agent.register(write.registration);
    else if (write.verb === 'deregister') this.agent.deregister(write.id);
    else this.agent.maintain(write.id, write.reason);
  }

  /** Plans and applies until nothing is left to do; what was done, step by step, and the last plan. */
  converge(plan: () => ServicePlan): { readonly done: string[]; readonly last: ServicePlan } {
    const done: string[] = [];
    for (let turns = 0; turns < 20; turns += 1) {
      const last = plan();
      if (last.kind !== 'change') return { done, last };
      done.push(describe(last.change));
      this.apply(last.change);
    }
    throw new Error(`does not rest: ${done.join(' | ')}`);
  }

  settle(spec: Spec, endpoints?: KubernetesSource): string[] {
    return this.converge(() => this.plan(spec, endpoints)).done;
  }

  recorded(id: string): string | undefined {
    return this.record && listedNames(this.record).get(nameOf(id, this.agent.node));
  }
}

export type Spec = Readonly<Record<string, unknown>>;

export function nameOf(id: string, node = 'agent-1'): string {
  return instanceName({ kind: 'agent', node, id });
}

export function idsIn(agent: ModelAgent): ServiceId[] {
  return [...agent.services.values()].map(({ id }) => id).sort();
}

/** `claim a | register a | settle a`. */
export function describe(change: ServiceChange): string {
  if (change.step === 'agent') return change.writes.map(describeWrite).join(', ');
  if (change.step === 'register') return 'catalog';
  const edits = change.instances.map(({ name, record }) => `${idIn(name)}=${markOf(record?.to)}`);
  return `${change.head === undefined ? 'end' : change.head.phase}(${edits.join(',')})`;
}

function describeWrite(write: AgentWrite): string {
  if (write.verb === 'register') return `register ${idIn(write.name)} (${write.cause})`;
  if (write.verb === 'deregister') return `deregister ${write.id}`;
  return `${write.reason ?? 'end maintenance'}: ${write.id}`;
}

function idIn(name: string): string {
  return parseInstanceName(name)?.id ?? name;
}

function markOf(recorded: string | undefined): string {
  if (recorded === undefined) return 'none';
  if (recorded.startsWith('~')) return 'claimed';
  return recorded.startsWith('!') ? 'out' : 'settled';
}
