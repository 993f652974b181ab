import {
  type CheckRegistration,
  NO_DEFINITION,
  type ServiceRegistration,
} from '../../src/consul/registration.ts';
import { parseCheckId, parseServiceId } from '../../src/consul/service-ids.ts';

/** An instance `id` of the service `web`, as Consul stores one. */
export function aService(id: string, fields: Partial<ServiceRegistration> = {}): ServiceRegistration {
  return {
    id: parseServiceId(id),
    name: 'web',
    address: '192.0.2.1',
    port: 80,
    tags: [],
    meta: new Map(),
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    connect: undefined,
    ...fields,
  };
}

export function aCheck(service: ServiceRegistration, name = 'http'): CheckRegistration {
  return {
    id: parseCheckId(`service:${service.id}:${name}`),
    serviceId: service.id,
    serviceName: service.name,
    name,
    notes: '',
    type: 'http',
    definition: NO_DEFINITION,
  };
}
