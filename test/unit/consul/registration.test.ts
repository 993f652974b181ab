import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  canonicalText,
  sameService,
  type ServiceRegistration,
  wireService,
} from '../../../src/consul/registration.ts';
import { SERVICE, toService } from '../../../src/consul/nodes.ts';
import { aCheck, aService } from '../../support/services.ts';
import { services } from '../../support/any-service.ts';

/** As `NodeService` comes back: zero values left out, defaults and the server's own fields filled in. */
function stored(service: ServiceRegistration): unknown {
  const wire = JSON.parse(JSON.stringify(wireService(service))) as Record<string, unknown>;
  const sent = Object.entries(wire).filter(([, value]) => value !== '' && value !== 0);
  return {
    ...Object.fromEntries(sent),
    TaggedAddresses: { 'consul-virtual': { Address: '240.0.0.1', Port: 80 } },
    Tags: service.tags.length === 0 ? null : service.tags,
    Meta: service.meta.size === 0 ? null : wire['Meta'],
    Weights: wire['Weights'],
    PeerName: '',
    CreateIndex: 7,
  };
}

test('what is stored reads as what was declared', () => {
  fc.assert(
    fc.property(services, service => {
      expect(sameService(toService(SERVICE.parse(stored(service))), service)).toBe(true);
    }),
  );
});

const WEB = aService('web-1', {
  tags: ['a', 'b'],
  meta: new Map([
    ['x', '1'],
    ['y', '2'],
  ]),
});
const PROXY = {
  kind: 'proxy',
  destinationName: 'web',
  destinationId: 'web-1',
  localAddress: '',
  localPort: 80,
  upstreams: [{ destinationName: 'pay', localBindPort: 1, datacenter: '' }],
} as const;

test.each<[string, Partial<ServiceRegistration>]>([
  ['name', { name: 'other' }],
  ['address', { address: '192.0.2.2' }],
  ['port', { port: 81 }],
  ['tags', { tags: ['a'] }],
  ['the order of tags', { tags: ['b', 'a'] }],
  ['meta', { meta: new Map([['x', '1']]) }],
  [
    'a value of meta',
    {
      meta: new Map([
        ['x', '1'],
        ['y', '3'],
      ]),
    },
  ],
  ['a weight', { weights: { passing: 2, warning: 1 } }],
  ['the other weight', { weights: { passing: 1, warning: 0 } }],
  ['enableTagOverride', { enableTagOverride: true }],
  ['native', { connect: { kind: 'native' } }],
  ['a proxy', { connect: PROXY }],
])('%s counts', (_, fields) => {
  expect(sameService(WEB, { ...WEB, ...fields })).toBe(false);
  expect(canonicalText(WEB)).not.toBe(canonicalText({ ...WEB, ...fields }));
});

test.each([
  { ...PROXY, destinationName: 'o' },
  { ...PROXY, destinationId: 'o' },
  { ...PROXY, localAddress: '127.0.0.1' },
  { ...PROXY, localPort: 81 },
  { ...PROXY, upstreams: [] },
  { ...PROXY, upstreams: [{ destinationName: 'pay', localBindPort: 2, datacenter: '' }] },
  { ...PROXY, upstreams: [{ destinationName: 'pay', localBindPort: 1, datacenter: 'dc2' }] },
])('all of a proxy counts: %j', connect => {
  expect(sameService({ ...WEB, connect: PROXY }, { ...WEB, connect })).toBe(false);
});

test('the order of meta and of checks does not', () => {
  const turned = {
    ...WEB,
    meta: new Map([
      ['y', '2'],
      ['x', '1'],
    ]),
  };
  const [one, other] = [aCheck(WEB, 'a'), aCheck(WEB, 'b')];
  expect(sameService(WEB, turned)).toBe(true);
  expect(canonicalText(WEB, [one, other])).toBe(canonicalText(turned, [other, one]));
  expect(canonicalText(WEB, [one])).not.toBe(canonicalText(WEB, [other]));
});
