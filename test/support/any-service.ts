import * as fc from 'fast-check';
import type { ServiceConnect, ServiceRegistration } from '../../src/consul/registration.ts';
import { aService } from './services.ts';

const port = fc.integer({ min: 1, max: 65_535 });
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z]$/);
const text = fc.string({ maxLength: 20, unit: 'grapheme' });
const metaName = fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/), fc.constant('__proto__'));
const meta = fc
  .array(fc.tuple(metaName, text), { maxLength: 5 })
  .map(pairs => new Map(pairs.filter(([key]) => !key.startsWith('consul-'))));

/** Each destination and each port once. */
const upstreams = fc
  .uniqueArray(
    fc.record({ destinationName: name, localBindPort: port, datacenter: fc.constantFrom('', 'dc2') }),
    { maxLength: 3, selector: ({ destinationName }) => destinationName },
  )
  .filter(all => new Set(all.map(({ localBindPort }) => localBindPort)).size === all.length);

const connect: fc.Arbitrary<ServiceConnect | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.constant({ kind: 'native' as const }),
  fc.record({
    kind: fc.constant('proxy' as const),
    destinationName: name,
    destinationId: name,
    localAddress: fc.constantFrom('', '127.0.0.1'),
    localPort: port,
    upstreams,
  }),
);

/** Any instance that Consul takes. */
export const services: fc.Arbitrary<ServiceRegistration> = fc
  .record({
    name,
    address: fc.constantFrom('', '192.0.2.7', '2001:db8::1', 'host.example'),
    port,
    tags: fc.array(text, { maxLength: 4 }),
    meta,
    weights: fc.record({ passing: port, warning: fc.nat(65_535) }),
    enableTagOverride: fc.boolean(),
    connect,
  })
  .map(fields => aService('any-1', fields));
