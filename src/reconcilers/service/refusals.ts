import type { CatalogWrite } from '../../commit/operations.ts';
import type { CheckRow } from '../../consul/nodes.ts';
import { wireCheck, wireService } from '../../consul/registration.ts';
import { foldId } from '../../consul/service-ids.ts';
import { describeInstance } from '../../core/instance-names.ts';
import { named } from '../../core/named.ts';
import { describeOwner } from '../../ownership/owner.ts';
import type { KindPlan } from '../../runtime/kind.ts';
import { type Comparison, type Comparisons, isDeclaredAlike } from './compare.ts';
import type { Decision } from './decide.ts';
import type { Declarer, InstanceChange, ServiceFacts } from './types.ts';

/** Why nothing at all is registered or removed, each as a result that the user can act on; undefined: no reason. */
export type Refusal = Extract<KindPlan<never>, { kind: 'refuse' }>;

/** First claim keeps: whatever anyone's record lists is theirs. */
export function refuseRivals(comparisons: Comparisons, { rival }: ServiceFacts): Refusal | undefined {
  for (const name of comparisons.keys()) {
    const owner = rival(name);
    if (owner !== undefined)
      return refusal('Conflict', `${describeInstance(name)} belongs to ${describeOwner(owner)}`);
  }
  return undefined;
}

/** An agent takes out what it does not know from its node. */
export function refuseAgents(comparisons: Comparisons, { node }: ServiceFacts): Refusal | undefined {
  const nodes = new Set([...comparisons.values()].map(({ wished }) => wished.node.node));
  const taken = [...nodes].filter(name => node(name)?.hasAgent === true);
  if (taken.length === 0) return undefined;
  const message = `spec.instances: node ${named(taken)} has a Consul agent, which takes out what others register there: name a node without one, or none`;
  return refusal('InvalidSpec', message);
}

/** What exists without an owner is taken only as `adoptionPolicy` says. */
export function refuseExisting(
  comparisons: Comparisons,
  { adoptionPolicy }: Pick<Declarer, 'adoptionPolicy'>,
): Refusal | undefined {
  const inTheWay = [...comparisons].filter(([, comparison]) => !mayTake(comparison, adoptionPolicy));
  if (inTheWay.length === 0) return undefined;
  const names = inTheWay.map(([name, comparison]) => {
    const note = hasItsId(comparison) ? '' : ` (there as ${comparison.seen?.row.service.id})`;
    return `${describeInstance(name)}${note}`;
  });
  const message = `in Consul already, without an owner, and adoptionPolicy ${adoptionPolicy} does not take them: ${named(names)}`;
  return refusal('AlreadyExists', message);
}

/** Consul keeps one check of an id on a node, whatever service it belongs to. */
export function refuseTakenChecks(comparisons: Comparisons, { node }: ServiceFacts): Refusal | undefined {
  const inTheWay = [...comparisons.values()].flatMap(({ wished, service, checks }) =>
    checks.flatMap(({ check }) => {
      const row = node(wished.node.node)?.check(check.id);
      return row === undefined || foldId(row.serviceId) === service.id ? [] : [inWords(row)];
    }),
  );
  if (inTheWay.length === 0) return undefined;
  const message = `in Consul already, and not with the instance that they are declared for: ${named(inTheWay)}`;
  return refusal('AlreadyExists', message);
}

function inWords({ id, serviceId }: CheckRow): string {
  return serviceId === '' ? `check ${id} of the node` : `check ${id} of ${serviceId}`;
}

function mayTake(comparison: Comparison, policy: Declarer['adoptionPolicy']): boolean {
  const { seen, isOurs, isMarked } = comparison;
  // What is let go of loses its mark: of what carries it the record was lost.
  if (seen === undefined || isOurs || isMarked) return true;
  if (policy === 'Never' || !hasItsId(comparison)) return false;
  return policy === 'Always' || isDeclaredAlike(comparison, seen);
}

/** Consul takes ids in capitals for the same; under another one it would have another name afterwards. */
function hasItsId({ wished, seen }: Comparison): boolean {
  return seen?.row.service.id === wished.service.id;
}

/** Nothing changes hands that somebody might own whose claims are not shown to us. */
export function refuseBlindly(decisions: readonly Decision[], { claims }: ServiceFacts): Refusal | undefined {
  if (claims.complete || !decisions.some(({ cause }) => cause === 'adopt')) return undefined;
  const rule = 'key_prefix "proconsul/" { policy = "read" }';
  const message = `the ACL token may not read all of proconsul/, so no instance that exists can be taken over: add ${rule}`;
  return refusal('ConsulDenied', message);
}

/** Of Consul's transactions, but for the record's part of one: two full shards, keys and what proves the tenure. */
const MAX_INSTANCE_BYTES = 400_000;
/** Around what is counted. */
const OPERATION_BYTES = 300;

/** An instance goes with its checks, or not at all. */
export function refuseLarge(instances: readonly InstanceChange[]): Refusal | undefined {
  for (const { name, operations } of instances) {
    const bytes = operations.reduce((sum, operation) => sum + bytesOf(operation), 0);
    if (bytes <= MAX_INSTANCE_BYTES) continue;
    // Not how many: that moves with the outputs of its checks, and the status with it.
    const message = `${describeInstance(name)} does not fit into a transaction of Consul with its checks: shorten tags, meta or the paths of checks`;
    return refusal('TooLarge', message);
  }
  return undefined;
}

function bytesOf(operation: CatalogWrite): number {
  switch (operation.verb) {
    case 'service-cas':
      return OPERATION_BYTES + sizeOf(wireService(operation.service));
    case 'check-cas':
      return OPERATION_BYTES + sizeOf(wireCheck(operation.node, operation.check, operation.result));
    case 'node-create':
    case 'service-get':
    case 'service-delete-cas':
    case 'check-delete-cas':
      return 2 * OPERATION_BYTES;
  }
}

function sizeOf(wire: object): number {
  return Buffer.byteLength(JSON.stringify(wire));
}

function refusal(reason: string, message: string): Refusal {
  return { kind: 'refuse', reason, message, isSeen: true };
}
