import type { EventReason } from '../../api/v1alpha1/common.ts';
import type { ServiceInstanceCounts } from '../../api/v1alpha1/consulservice.ts';
import type { CatalogWrite } from '../../commit/operations.ts';
import type { NodeName } from '../../consul/service-ids.ts';
import { describeInstance, parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import { named } from '../../core/named.ts';
import type { OwnerRecord } from '../../ownership/record.ts';
import type { Receipt } from '../../runtime/kind.ts';
import { isOwned, isSidecar, namesIn } from './compare.ts';
import { keptInstances } from './decide.ts';
import { healthOf } from './health.ts';
import { ownerMark } from './marks.ts';
import type {
  Cause,
  HealthView,
  InstanceChange,
  ServiceChange,
  ServiceFacts,
  ServiceWish,
  WishedInstance,
} from './types.ts';

type Standing = Pick<ServiceFacts, 'record' | 'seen' | 'node'>;
type Counts = Required<ServiceInstanceCounts>;

/** What the status says of the instances that the resource owns in the catalog. Sidecars are none. */
export function serviceStatus(facts: Standing, installId: string): { readonly instances: Counts } {
  const counts = { registered: 0, passing: 0, warning: 0, critical: 0, removed: 0 };
  const mark = facts.record === undefined ? '' : ownerMark(installId, facts.record.ref);
  for (const [name, recorded] of namesIn(facts)) {
    const state = readInstanceState(recorded);
    const seen = facts.seen(name);
    if (seen === undefined && state.kind === 'out') counts.removed += 1;
    if (seen === undefined || !isOwned(state, seen, mark) || isSidecar(seen)) continue;
    counts.registered += 1;
    counts[healthOf(seen, facts.node(nodeOf(name))?.checks)] += 1;
  }
  return { instances: { ...counts, summary: `${counts.passing}/${counts.registered}` } };
}

function nodeOf(name: string): NodeName {
  return (parseInstanceName(name)?.node ?? '') as NodeName;
}

/** What Ready says of a resource that equals its spec. */
export function readyMessage(
  { instances }: ServiceWish,
  { record, seen, node, health }: Standing & Pick<ServiceFacts, 'health'>,
): string {
  const wished = [...instances.values()].filter(({ service }) => service.connect?.kind !== 'proxy');
  const states = namesIn({ record });
  const out = wished.filter(({ name }) => {
    return readInstanceState(states.get(name) ?? '').kind === 'out' && seen(name) === undefined;
  });
  const nodes = new Set(wished.map(one => one.node.node));
  const ofEsm = [...nodes].filter(name => node(name)?.isOfEsm === true);
  if (wished.length === 0) return 'no instances are declared';
  return [
    equalInstances(wished.length - out.length),
    ...(out.length > 0 ? [`taken out for having been critical too long: ${list(out)}`] : []),
    ...keptInstancesMessage(
      wished.filter(({ name }) => seen(name) !== undefined),
      health,
    ),
    ...(ofEsm.length > 0
      ? [`without checks of the operator, for consul-esm runs those of the node: ${named(ofEsm)}`]
      : []),
  ].join('; ');
}

function keptInstancesMessage(wished: readonly WishedInstance[], health: HealthView): string[] {
  const count = keptInstances(
    wished.map(one => ({ wished: one, checks: one.checks })),
    health,
  );
  if (count === 0 || health.heldReaps === undefined) return [];
  const { critical, total } = health.heldReaps;
  return [
    `not taken out though critical for too long: ${count}, for ${critical} of ${total} checks that may take an instance out are critical at once`,
  ];
}

function equalInstances(count: number): string {
  return count === 1 ? '1 instance in Consul equals the spec' : `${count} instances in Consul equal the spec`;
}

/** Of what a step is about: any of the changes and writes of a `ServiceChange`. */
type Told = Pick<InstanceChange, 'name' | 'cause'> & Partial<Pick<InstanceChange, 'record' | 'operations'>>;

export interface ReceiptContext {
  /** Before the step. */
  readonly record: OwnerRecord | undefined;
  readonly deleting: boolean;
}

/**
 * What one step did, as its Event tells it. `tidied` where it only brought about what no declaration changed, or announced
 * what comes: the results of checks, a drain, a claim.
 *
 * @param done What of the change was done; the rest of it says what it is.
 */
export function receiptFor(
  change: ServiceChange,
  done: readonly Told[],
  { record, deleting }: ReceiptContext,
): Receipt {
  const loud = done.filter(one => !isQuiet(one));
  if (done.length > 0 && loud.length === 0) return { kind: 'tidied' };
  const corrected = loud.filter(({ cause }) => cause === 'correct').length;
  const event = eventFor(partsOf(change), record, deleting);
  return { kind: 'applied', event, note: deleting ? noteForDeletion(loud) : summarize(loud), corrected };
}

function isQuiet({ cause, record, operations = [] }: Told): boolean {
  if (cause === 'health' || cause === 'drain' || cause === 'release') return true;
  const isNodeAlone = operations.length > 0 && operations.every(({ verb }) => verb === 'node-create');
  return isClaim(record?.to) || (record === undefined && isNodeAlone);
}

function isClaim(recorded: string | undefined): boolean {
  return recorded !== undefined && readInstanceState(recorded).kind === 'claimed';
}

/** The strongest thing to say about a change: taking over, then a first write, then repair, then the usual. */
function eventFor(all: readonly Told[], record: OwnerRecord | undefined, deleting: boolean): EventReason {
  const has = (cause: Cause): boolean => all.some(one => one.cause === cause);
  if (deleting) return 'Deleted';
  if (has('adopt')) return 'Adopted';
  if (isFirst(record)) return 'Created';
  return has('correct') ? 'DriftCorrected' : 'Updated';
}

/** There is nothing yet but claims. */
function isFirst(record: OwnerRecord | undefined): boolean {
  const recorded = [...namesIn({ record }).values()];
  return record === undefined || (recorded.length > 0 && recorded.every(isClaim));
}

function noteForDeletion(done: readonly Told[]): string {
  const removed = done.filter(isRemoval);
  return removed.length === 0
    ? 'let go of what the resource owned; nothing was removed'
    : `removed ${list(removed)}`;
}

/** What an agent is told has no operations. */
function isRemoval({ cause, operations }: Told): boolean {
  return cause === 'remove' && operations?.every(isLeaving) !== true;
}

/** What is retained loses its mark and its drain. */
function isLeaving({ verb }: CatalogWrite): boolean {
  return verb === 'service-cas' || verb === 'check-delete-cas';
}

const SAID: Readonly<Record<Cause, string>> = {
  create: 'register',
  update: 'register',
  adopt: 'take over',
  correct: 'put back',
  return: 'register',
  reap: 'take out for having been critical too long',
  drain: 'drain',
  remove: 'remove',
  health: 'write the health of',
  release: 'let go of',
  record: '',
};

function partsOf(change: ServiceChange): readonly Told[] {
  return change.step === 'agent' ? change.writes : change.instances;
}

/** `register a, b; remove c`: what a change, or a part of one, does to instances. */
export function summarize(change: ServiceChange | readonly Told[]): string {
  const told = new Map<string, Told[]>();
  for (const one of 'step' in change ? partsOf(change) : change) {
    const isLetGo = one.cause === 'remove' && !isRemoval(one);
    const said = isLetGo ? 'let go of' : SAID[one.cause];
    if (said !== '') told.set(said, [...(told.get(said) ?? []), one]);
  }
  const parts = [...told].map(([said, these]) => `${said} ${list(these)}`);
  return parts.length > 0 ? parts.join('; ') : 'update the owner record';
}

function list(these: readonly Pick<Told, 'name'>[]): string {
  return named([...new Set(these.map(({ name }) => describeInstance(name)))]);
}
