import type { ConsulService } from '../../api/v1alpha1/consulservice.ts';
import type { CheckRow } from '../../consul/nodes.ts';
import { checkPlace, foldId, parseCheckId, parseServiceId } from '../../consul/service-ids.ts';
import { type InstanceName, parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import type { ResourceRef } from '../../core/resource.ts';
import { CHECK_NOTES, checkIdOf, OWN_CHECKS } from './checks.ts';
import { drainingId, isOwned, isSidecar, namesIn, rowOf } from './compare.ts';
import { fixedInstances } from './declared.ts';
import { type Desiring, wishOf } from './desire.ts';
import { isEndpointId, type Presence } from './endpoints.ts';
import { storedResult } from './health.ts';
import { ownerMark } from './marks.ts';
import type { Tended } from './plan.ts';
import type { DeclaredInstance, SeenInstance, ServiceFacts, WishedCheck, WishedInstance } from './types.ts';

/** What is there besides the spec. */
export interface Tending extends Pick<Desiring, 'installId' | 'fingerprinter'> {
  readonly ref: ResourceRef;
  readonly facts: ServiceFacts;
}

/**
 * Of a resource whose endpoints are not known as they are to stand: its fixed instances as declared, and endpoints as they stand,
 * for as long as they are there.
 *
 * @param present Undefined: nobody knows, and none of them begins to drain, or ends.
 */
export function tendedEndpoints(
  resource: Pick<ConsulService, 'metadata' | 'spec'>,
  present: Presence | undefined,
  tending: Tending,
): Tended {
  const declared = [...fixedInstances(resource.spec), ...standingEndpoints(present, tending)];
  const isEndpoint = (name: string): boolean => isEndpointId(tending.ref, parseInstanceName(name)?.id ?? '');
  return {
    wish: wishOf(declared, undefined, { ...tending, resource }),
    isLeft: name => present === undefined && isEndpoint(name),
  };
}

function standingEndpoints(present: Presence | undefined, tending: Tending): DeclaredInstance[] {
  const { ref } = tending;
  return standing(tending).flatMap(({ seen, id }) => {
    if (isSidecar(seen) || !isEndpointId(ref, id)) return [];
    if (present === undefined ? isDraining(id, seen) : !present.has(id)) return [];
    const { address, port } = seen.row.service;
    const readiness = rowOf(checkIdOf(parseServiceId(id), OWN_CHECKS.readiness), seen);
    return [
      {
        id: parseServiceId(id),
        address,
        port,
        // Of no account: nothing is registered.
        tags: [],
        meta: new Map(),
        node: undefined,
        nodeAddress: undefined,
        isReady: present?.get(id) ?? readiness?.status === 'passing',
      },
    ];
  });
}

/** Of a resource that cannot be read: what stands and does not drain, with what its checks were found to say. */
export function tendedUnread(tending: Tending): Tended {
  const { facts } = tending;
  const wished = standing(tending)
    .filter(({ id, seen }) => !isDraining(id, seen))
    .map(one => wishAsItStands(one, facts));
  return {
    wish: { instances: new Map(wished.map(one => [one.name, one])), missing: undefined },
    isLeft: () => true,
  };
}

interface Standing extends Pick<InstanceName, 'node' | 'id'> {
  readonly name: string;
  readonly recorded: string;
  readonly seen: SeenInstance;
}

/** What the resource owns and has standing. */
function standing({ facts, installId, ref }: Pick<Tending, 'facts' | 'installId' | 'ref'>): Standing[] {
  const mark = ownerMark(installId, ref);
  return [...namesIn(facts)].flatMap(([name, recorded]) => {
    const seen = facts.seen(name);
    const place = parseInstanceName(name);
    if (seen === undefined || place?.kind !== 'catalog') return [];
    if (!isOwned(readInstanceState(recorded), seen, mark) || facts.rival(name) !== undefined) return [];
    return [{ ...place, name, recorded, seen }];
  });
}

function isDraining(id: string, seen: SeenInstance): boolean {
  return rowOf(drainingId(parseServiceId(id)), seen) !== undefined;
}

function wishAsItStands({ name, node, id, recorded, seen }: Standing, facts: ServiceFacts): WishedInstance {
  const { service } = seen.row;
  const own = seen.checks.filter(({ check }) => check.notes === CHECK_NOTES);
  return {
    name,
    node: { node: node as WishedInstance['node']['node'], address: '', meta: new Map() },
    service: { ...service, id: parseServiceId(id) },
    checks: own.flatMap(row => checkAsItStands(row, { node, service }, facts)),
    fingerprint: recorded,
  };
}

function checkAsItStands(
  row: CheckRow,
  { node, service: { id, connect } }: { readonly node: string; readonly service: WishedInstance['service'] },
  { health }: Pick<ServiceFacts, 'health'>,
): WishedCheck[] {
  const check = { ...row.check, id: parseCheckId(foldId(row.id)) };
  if (connect?.kind === 'proxy' && check.id === checkIdOf(parseServiceId(foldId(id)), OWN_CHECKS.instance)) {
    return [{ check, says: { kind: 'follows', serviceId: connect.destinationId as typeof id } }];
  }
  const result = health.verdict(checkPlace(node, check.id)) ?? storedResult(row);
  return result === undefined ? [] : [{ check, says: { kind: 'known', result } }];
}
