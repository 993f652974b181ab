import {
  type CheckRegistration,
  type CheckResult,
  fitsTransaction,
  type NodeRegistration,
  type ServiceRegistration,
  wireCheck,
  wireService,
} from './registration.ts';
import {
  type CheckId,
  type NodeName,
  parseCheckId,
  parseNodeName,
  parseServiceId,
  type ServiceId,
} from './service-ids.ts';
import { type ModifyIndex, NOT_THERE } from './types.ts';

/**
 * What a transaction may do in the catalog. There is no operation that deletes a node, and none that changes one.
 *
 * - `check-cas` that creates says nothing when its service is absent, and writes nothing: put the service first.
 * - Deleting a service deletes its checks.
 */
export type CatalogOperation =
  /** Creates the node; refused when there is one of the name, whatever it looks like. */
  | { readonly verb: 'node-create'; readonly node: NodeRegistration }
  | {
      readonly verb: 'service-cas';
      readonly node: NodeName;
      readonly service: ServiceRegistration;
      readonly index: ModifyIndex;
    }
  /** That it is there, whatever it looks like. `name` is what Consul judges the token's rights by. */
  | { readonly verb: 'service-get'; readonly node: NodeName; readonly id: ServiceId; readonly name: string }
  /** Unlike `delete-cas` of a key, it is refused when there is none. */
  | {
      readonly verb: 'service-delete-cas';
      readonly node: NodeName;
      readonly id: ServiceId;
      readonly name: string;
      readonly index: ModifyIndex;
    }
  | {
      readonly verb: 'check-cas';
      readonly node: NodeName;
      readonly check: CheckRegistration;
      readonly result: CheckResult;
      readonly index: ModifyIndex;
    }
  /** Refused when there is none. */
  | {
      readonly verb: 'check-delete-cas';
      readonly node: NodeName;
      readonly id: CheckId;
      readonly serviceId: ServiceId;
      readonly serviceName: string;
      readonly index: ModifyIndex;
    };

/**
 * One operation as JSON.
 *
 * @throws TypeError for what must never be sent: an id that is none, an index that would read as 0 where something is
 * to be replaced, fields that the transaction would drop, an operation that is not in `CatalogOperation`.
 */
export function encodeCatalogOperation(operation: CatalogOperation): string {
  switch (operation.verb) {
    case 'node-create': {
      const { node, address, meta } = operation.node;
      const content = { Node: parseNodeName(node), Address: address, Meta: Object.fromEntries(meta) };
      return nodeOperation({ ...content, ModifyIndex: NOT_THERE });
    }
    case 'service-cas': {
      const { service, index } = operation;
      parseServiceId(service.id);
      if (!fitsTransaction(service)) throw new TypeError('a service that no transaction carries');
      return serviceOperation('cas', operation.node, { ...wireService(service), ModifyIndex: known(index) });
    }
    case 'service-get':
      return serviceOperation('get', operation.node, identity(operation));
    case 'service-delete-cas': {
      const { index } = operation;
      return serviceOperation('delete-cas', operation.node, {
        ...identity(operation),
        ModifyIndex: standing(index),
      });
    }
    case 'check-cas': {
      const { node, check, result, index } = operation;
      parseCheckId(check.id);
      parseServiceId(check.serviceId);
      const content = wireCheck(parseNodeName(node), check, result);
      return checkOperation('cas', { ...content, ModifyIndex: known(index) });
    }
    case 'check-delete-cas':
      return checkOperation('delete-cas', {
        Node: parseNodeName(operation.node),
        CheckID: parseCheckId(operation.id),
        ServiceID: parseServiceId(operation.serviceId),
        ServiceName: operation.serviceName,
        ModifyIndex: standing(operation.index),
      });
    default:
      throw new TypeError('not an operation of the catalog');
  }
}

/** Consul takes no operation on a service without its name, but does not compare it. */
function identity({ id, name }: { readonly id: ServiceId; readonly name: string }): object {
  if (name === '') throw new TypeError('a service without a name');
  return { ID: parseServiceId(id), Service: name };
}

function nodeOperation(node: object): string {
  return JSON.stringify({ Node: { Verb: 'cas', Node: node } });
}

function serviceOperation(verb: 'cas' | 'get' | 'delete-cas', node: NodeName, service: object): string {
  return JSON.stringify({ Service: { Verb: verb, Node: parseNodeName(node), Service: service } });
}

function checkOperation(verb: 'cas' | 'delete-cas', check: object): string {
  return JSON.stringify({ Check: { Verb: verb, Check: check } });
}

function known(index: ModifyIndex): ModifyIndex {
  if (!Number.isSafeInteger(index) || index < 0) throw new TypeError('not a ModifyIndex');
  return index;
}

function standing(index: ModifyIndex): ModifyIndex {
  if (known(index) === NOT_THERE) throw new TypeError('a deletion of what is not there');
  return index;
}
