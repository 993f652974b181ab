import type { CatalogWrite } from '../../../../src/commit/operations.ts';
import type { CheckRow } from '../../../../src/consul/nodes.ts';
import {
  canonicalText,
  type CheckRegistration,
  type CheckResult,
  NO_DEFINITION,
  type ServiceRegistration,
} from '../../../../src/consul/registration.ts';
import { type CheckPlace, parseNodeName, parseServiceId } from '../../../../src/consul/service-ids.ts';
import { type ModifyIndex, NOT_THERE } from '../../../../src/consul/types.ts';
import { instanceName, parseInstanceName } from '../../../../src/core/instance-names.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import type { Owner } from '../../../../src/ownership/owner.ts';
import type { Head, OwnerRecord } from '../../../../src/ownership/record.ts';
import {
  CHECK_NOTES,
  checkIdOf,
  ownCheck,
  sidecarCheck,
} from '../../../../src/reconcilers/service/checks.ts';
import { instanceFingerprint } from '../../../../src/reconcilers/service/fingerprints.ts';
import { marked } from '../../../../src/reconcilers/service/marks.ts';
import { planService, planServiceEnd } from '../../../../src/reconcilers/service/plan.ts';
import type {
  Declarer,
  HeldReaps,
  InstanceChange,
  SeenInstance,
  SeenNode,
  ServiceChange,
  ServiceFacts,
  ServicePlan,
  WishedCheck,
  WishedInstance,
} from '../../../../src/reconcilers/service/types.ts';

export const INSTALL = 'install-a';
export const REF = { kind: 'ConsulService', namespace: 'shop', name: 'orders' };
export const RIVAL: Owner = { kind: 'resource', ref: { ...REF, name: 'rival' } };
export const NODE = parseNodeName('vm');
export const SETTLED: Head = { uid: 'u-1', generation: 1, epoch: 1, onDelete: 'Delete', phase: 'settled' };
export const NOW_MS = Date.parse('2026-02-01T12:00:00Z');
export const PASSING: CheckResult = { status: 'passing', output: 'ok' };
export const CRITICAL: CheckResult = { status: 'critical', output: 'refused' };
const INDEX = 10 as ModifyIndex;

const fingerprinter = new Fingerprinter(Buffer.alloc(32, 7));

export interface Declared {
  readonly id: string;
  readonly node?: string;
  readonly port?: number;
  readonly tags?: readonly string[];
  readonly enableTagOverride?: boolean;
  readonly native?: boolean;
  /** An endpoint, and whether it is ready. */
  readonly ready?: boolean;
  /** A check `http` that the operator runs. */
  readonly probe?: boolean | { readonly deregisterAfterMs?: number; readonly intervalMs?: number };
}

/** An instance as it is wished. */
export function anInstance(declared: Declared, ref = REF): WishedInstance {
  const { id, port = 80, tags = [], enableTagOverride = false, native = false } = declared;
  const service: ServiceRegistration = {
    id: parseServiceId(id),
    name: 'web',
    address: '192.0.2.1',
    port,
    tags,
    meta: marked(new Map([['team', 'shop']]), INSTALL, ref),
    weights: { passing: 1, warning: 1 },
    enableTagOverride,
    connect: native ? { kind: 'native' } : undefined,
  };
  return named({ node: nodeOf(declared.node), service, checks: checksFor(declared, service) });
}

/** Its sidecar. */
export function aSidecar(declared: Declared, ref = REF): WishedInstance {
  const { service: main } = anInstance(declared, ref);
  const service: ServiceRegistration = {
    ...main,
    id: parseServiceId(`${declared.id}-sidecar-proxy`),
    name: 'web-sidecar-proxy',
    port: 20_000,
    connect: {
      kind: 'proxy',
      destinationName: main.name,
      destinationId: main.id,
      localAddress: '127.0.0.1',
      localPort: main.port,
      upstreams: [],
    },
  };
  const checks = [sidecarCheck(service, main.id)];
  return named({ node: nodeOf(declared.node), service, checks });
}

function nodeOf(node: string = NODE): WishedInstance['node'] {
  return { node: parseNodeName(node), address: '127.0.0.1', meta: new Map([['proconsul-install', INSTALL]]) };
}

function named(row: Pick<WishedInstance, 'node' | 'service' | 'checks'>): WishedInstance {
  const { node, service, checks } = row;
  const name = instanceName({ kind: 'catalog', node: node.node, id: service.id });
  const content = canonicalText(
    { ...service, tags: [] },
    checks.map(({ check }) => check),
  );
  return {
    ...row,
    name,
    fingerprint: instanceFingerprint(fingerprinter, { name, content, tags: service.tags }),
  };
}

function checksFor({ ready, probe = false }: Declared, service: ServiceRegistration): WishedCheck[] {
  const checks: WishedCheck[] = [];
  if (ready !== undefined) {
    const result: CheckResult = ready
      ? { status: 'passing', output: 'ready' }
      : { status: 'critical', output: 'not ready' };
    checks.push({ check: ownCheck(service, 'readiness'), says: { kind: 'known', result } });
  }
  if (probe === false) return checks;
  const { deregisterAfterMs, intervalMs = 10_000 } = probe === true ? {} : probe;
  const target = { kind: 'tcp', host: service.address, port: service.port } as const;
  const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 1 };
  const check: CheckRegistration = {
    ...aCheckOf(service, 'http', CHECK_NOTES),
    definition: { ...NO_DEFINITION, intervalMs, deregisterAfterMs: deregisterAfterMs ?? 0 },
  };
  const spec = { target, intervalMs, timeoutMs: 1_000, thresholds };
  return [...checks, { check, says: { kind: 'probe', spec, deregisterAfterMs } }];
}

export function aCheckOf(
  { id, name: serviceName }: Pick<ServiceRegistration, 'id' | 'name'>,
  name: string,
  notes = '',
): CheckRegistration {
  const type = 'http';
  return {
    id: checkIdOf(id, name),
    serviceId: id,
    serviceName,
    name,
    notes,
    type,
    definition: NO_DEFINITION,
  };
}

/** By the name of a check, what it says. */
export type Says = Readonly<Record<string, CheckResult>>;

/** As it stands when it was written as wished. Checks say that they pass, or what `says` has them say. */
export function standing(wished: WishedInstance, says: Says = {}): SeenInstance {
  const { service, checks } = wished;
  return {
    row: {
      service,
      kind: service.connect?.kind === 'proxy' ? 'connect-proxy' : '',
      modifyIndex: INDEX,
    },
    checks: checks.map(({ check }) => aRow(check, says[check.name] ?? PASSING)),
  };
}

export function aRow(
  check: CheckRegistration,
  { status, output }: { status: string; output: string },
): CheckRow {
  const { id, serviceId } = check;
  return { id, serviceId, check, status, output, modifyIndex: (INDEX + 1) as ModifyIndex };
}

/** With checks beside its own. */
export function withChecks({ row, checks }: SeenInstance, ...more: readonly CheckRow[]): SeenInstance {
  return { row, checks: [...checks, ...more] };
}

export function withService(
  { row, checks }: SeenInstance,
  fields: Partial<ServiceRegistration>,
  kind = row.kind,
): SeenInstance {
  return { row: { ...row, kind, service: { ...row.service, ...fields } }, checks };
}

/** Since when it is being drained. */
export function draining(seen: SeenInstance, sinceMs: number | string, status = 'critical'): SeenInstance {
  const check = ownCheck(seen.row.service, 'draining');
  const since = typeof sinceMs === 'number' ? new Date(sinceMs).toISOString() : sinceMs;
  return withChecks(seen, aRow(check, { status, output: `draining since ${since}` }));
}

export interface Situation {
  readonly wish?: readonly WishedInstance[];
  readonly missing?: string;
  /** By name, what the record says; undefined: there is none. */
  readonly record?: Readonly<Record<string, string>> | undefined;
  readonly head?: Partial<Head>;
  readonly stands?: Readonly<Record<string, SeenInstance>>;
  /** By node; `undefined`: it is not there. */
  readonly nodes?: Readonly<Record<string, Partial<SeenNode> | undefined>>;
  readonly rivals?: readonly string[];
  /** By the id of a check. */
  readonly verdicts?: Readonly<Record<string, CheckResult>>;
  readonly criticalForMs?: Readonly<Record<string, number>>;
  readonly heldReaps?: HeldReaps;
  readonly claimsComplete?: boolean;
  readonly declarer?: Partial<Declarer>;
}

export function factsOf(situation: Situation): ServiceFacts {
  const { record, head, stands = {}, nodes = {}, rivals = [], verdicts = {}, criticalForMs = {} } = situation;
  return {
    record: record === undefined ? undefined : aRecord(record, head),
    seen: name => stands[name],
    node: node =>
      Object.hasOwn(nodes, node) && nodes[node] === undefined
        ? undefined
        : { hasAgent: false, isOfEsm: false, checks: [], check: () => undefined, ...nodes[node] },
    rival: name => (rivals.includes(name) ? RIVAL : undefined),
    claims: { index: NOT_THERE, asOf: 1, complete: situation.claimsComplete ?? true },
    health: {
      verdict: place => verdicts[checkIn(place)],
      criticalForMs: place => criticalForMs[checkIn(place)],
      heldReaps: situation.heldReaps,
    },
    nowMs: NOW_MS,
  };
}

function checkIn(place: CheckPlace): string {
  return place.split('/').at(-1) ?? '';
}

export function aRecord(names: Readonly<Record<string, string>>, head: Partial<Head> = {}): OwnerRecord {
  const shard = { index: 5 as ModifyIndex, names: new Map(Object.entries(names)) };
  return { ref: REF, head: { ...SETTLED, ...head }, shards: new Map([[0, shard]]) };
}

export const DECLARER: Declarer = {
  installId: INSTALL,
  ref: REF,
  uid: 'u-1',
  generation: 2,
  epoch: 1,
  onDelete: 'Delete',
  adoptionPolicy: 'IfEqual',
  driftPolicy: 'Correct',
  enableTagOverride: false,
  drainMs: { instances: 0, kubernetes: 5_000 },
};

export function planOf(situation: Situation): ServicePlan {
  const { wish = [], missing, declarer } = situation;
  return planService(
    {
      instances: new Map(wish.map(wished => [wished.name, wished])),
      missing: missing === undefined ? undefined : { reason: 'SourceNotFound', message: missing },
    },
    factsOf(situation),
    { ...DECLARER, ...declarer },
  );
}

export function endOf(situation: Situation, onDelete: 'Delete' | 'Retain' = 'Delete'): ServicePlan {
  const { drainMs, installId } = { ...DECLARER, ...situation.declarer };
  return planServiceEnd(factsOf(situation), { installId, drainMs, onDelete });
}

/** A plan in one line: what is done to which instance, by which operations, and what the record says then. */
export function told(plan: ServicePlan): string {
  if (plan.kind === 'wait' || plan.kind === 'refuse') {
    return `${plan.reason}: ${plan.message}${again(plan.againMs)}`;
  }
  const drifted = plan.drifted.length === 0 ? '' : ` (drifted: ${plan.drifted.join(', ')})`;
  if (plan.kind === 'noop') return `nothing${drifted}${again(plan.againMs)}`;
  return `${toldChange(plan.change)}${drifted}`;
}

function again(againMs: number | undefined): string {
  return againMs === undefined ? '' : ` (again in ${againMs})`;
}

export function toldChange(change: ServiceChange): string {
  if (change.step === 'register') {
    return change.instances
      .map(({ cause, service, before }) => `register ${cause} ${service.id} at ${before}`)
      .join('; ');
  }
  if (change.step === 'agent') return 'agent';
  const { instances, head, adopts } = change;
  const told = instances.map(toldInstance);
  if (head === undefined) told.push('end');
  else if (head.phase === 'claiming') told.push('claiming');
  if (adopts) told.push('adopting');
  return told.join('; ') || 'head';
}

function toldInstance({ name, cause, record, operations }: InstanceChange): string {
  const done = operations.length === 0 ? '' : ` [${operations.map(toldOperation).join(', ')}]`;
  return `${cause} ${parseInstanceName(name)?.id ?? name}${done}${markOf(record)}`;
}

function markOf(record: InstanceChange['record']): string {
  if (record === undefined) return '';
  if (record.to === undefined) return ' -';
  return record.to.startsWith('~') ? ' ~' : record.to.startsWith('!') ? ' !' : ' =';
}

function toldOperation(operation: CatalogWrite): string {
  switch (operation.verb) {
    case 'node-create':
      return `+node ${operation.node.node}`;
    case 'service-cas':
      return `${operation.index === NOT_THERE ? '+' : ''}service`;
    case 'service-get':
      return 'get';
    case 'service-delete-cas':
      return '-service';
    case 'check-cas': {
      const { check, result, index } = operation;
      return `${index === NOT_THERE ? '+' : ''}${check.name} ${result.status}`;
    }
    case 'check-delete-cas':
      return `-${operation.id.split(':').at(-1)}`;
  }
}
