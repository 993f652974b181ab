import type { CatalogWrite } from '../../commit/operations.ts';
import type { CheckRow } from '../../consul/nodes.ts';
import type { CheckRegistration, CheckResult } from '../../consul/registration.ts';
import type { CheckId, NodeName, ServiceId } from '../../consul/service-ids.ts';
import { NOT_THERE } from '../../consul/types.ts';
import type { SeenInstance } from './types.ts';

const realm = 'catalog' as const;

/** Where an instance stands. Ids of the operator's own making: those that stand may be in capitals. */
export interface Place {
  readonly node: NodeName;
  readonly id: ServiceId;
}

export type CheckWrite = Extract<CatalogWrite, { verb: 'check-cas' }>;

/** That the service is there still: a new check behind one that is not would be dropped. */
export function presence({ node, id }: Place, name: string): CatalogWrite {
  return { realm, verb: 'service-get', node, id, name };
}

/** Takes the service out as it was seen, and all of its checks with it. */
export function removal({ node, id }: Place, { row }: SeenInstance): CatalogWrite {
  const { service, modifyIndex: index } = row;
  return { realm, verb: 'service-delete-cas', node, id, name: service.name, index };
}

/** Writes the check over the one that was seen; undefined: none was. */
export function checkWrite(
  node: NodeName,
  check: CheckRegistration,
  result: CheckResult,
  row: CheckRow | undefined,
): CheckWrite {
  return { realm, verb: 'check-cas', node, check, result, index: row?.modifyIndex ?? NOT_THERE };
}

export function checkRemoval(
  { node, id: serviceId }: Place,
  id: CheckId,
  { check: { serviceName }, modifyIndex: index }: CheckRow,
): CatalogWrite {
  return { realm, verb: 'check-delete-cas', node, id, serviceId, serviceName, index };
}
