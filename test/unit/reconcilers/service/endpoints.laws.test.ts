import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseServiceId } from '../../../../src/consul/service-ids.ts';
import type { KubeObject } from '../../../../src/kube/types.ts';
import { type Endpoint, endpointsOf } from '../../../../src/reconcilers/service/endpoints.ts';
import { anEndpoint, aSlice, aSource, NOT_READY, READY, TERMINATING } from './kube-builders.ts';

const OWNER = { namespace: 'shop', name: 'orders' };

const ADDRESSES = {
  IPv4: ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
  IPv6: ['2001:db8::1', '2001:db8::2'],
  FQDN: ['a.example.com'],
} as const;
type Family = keyof typeof ADDRESSES;

interface Drawn {
  readonly family: Family;
  readonly fields: NonNullable<Parameters<typeof anEndpoint>[0]> & { readonly pod: string | undefined };
  readonly port: number;
}

const drawn: fc.Arbitrary<Drawn> = fc.constantFrom<Family[]>('IPv4', 'IPv6', 'FQDN').chain(family =>
  fc.record({
    family: fc.constant(family),
    port: fc.constantFrom(8080, 8081),
    fields: fc.record({
      pod: fc.constantFrom('a', 'b', 'c', undefined),
      uid: fc.constantFrom('1', '2'),
      addresses: fc.constantFrom(...ADDRESSES[family]).map(address => [address]),
      conditions: fc.constantFrom(READY, NOT_READY, TERMINATING, undefined),
      zone: fc.constantFrom('z1', 'z2', undefined),
    }),
  }),
);
const sightings = fc.array(drawn, { maxLength: 12 });

const sliceOf = (family: Family, port: number, all: readonly Drawn[]): KubeObject =>
  aSlice({
    addressType: family,
    ports: [{ name: 'http', port }],
    endpoints: all.map(({ fields }) => anEndpoint(fields)),
  });

const apart = (all: readonly Drawn[]) => all.map(one => sliceOf(one.family, one.port, [one]));

/** As few slices as can hold them. */
const together = (all: readonly Drawn[]) =>
  [...Map.groupBy(all, ({ family, port }) => `${family} ${port}`).values()].flatMap(([first, ...others]) =>
    first === undefined ? [] : sliceOf(first.family, first.port, [first, ...others]),
  );

function merged(slices: readonly KubeObject[]): readonly Endpoint[] {
  const found = endpointsOf({ service: 'orders' }, aSource(...slices), OWNER);
  if (found.kind !== 'endpoints') throw new Error(found.message);
  return found.endpoints;
}

test('how endpoints are spread over slices, in what order and how often, makes no difference', () => {
  const rearranged = sightings.chain(all =>
    fc.tuple(fc.constant(all), fc.shuffledSubarray([...all, ...all], { minLength: 2 * all.length })),
  );
  fc.assert(
    fc.property(rearranged, ([all, shuffled]) => {
      expect(merged(apart(shuffled))).toEqual(merged(together(all)));
    }),
  );
});

test('each has an id of its own that Consul takes, and is what some slice shows', () => {
  fc.assert(
    fc.property(sightings, all => {
      const found = merged(apart(all));
      expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
      for (const { id, address, port, isReady, zone } of found) {
        expect(parseServiceId(id)).toBe(id);
        expect(
          all.filter(
            one =>
              id === `k8s:shop:orders:${one.fields.pod ?? address}` &&
              address === one.fields.addresses?.[0] &&
              port === one.port &&
              zone === one.fields.zone &&
              isReady === (one.fields.conditions !== NOT_READY),
          ),
        ).not.toEqual([]);
      }
    }),
  );
});

test('all are there that do not terminate, and none that does', () => {
  fc.assert(
    fc.property(sightings, all => {
      const nameOf = ({ fields: { pod, uid, addresses } }: Drawn) => `${pod ?? addresses?.[0]} ${pod && uid}`;
      const going = new Set(all.filter(({ fields }) => fields.conditions === TERMINATING).map(nameOf));
      const staying = all.filter(one => !going.has(nameOf(one)));
      const ids = staying.map(({ fields: { pod, addresses } }) => `k8s:shop:orders:${pod ?? addresses?.[0]}`);
      expect(merged(apart(all)).map(({ id }) => id)).toEqual([...new Set(ids)].sort());
    }),
  );
});

test('an endpoint changes nothing about others', () => {
  fc.assert(
    fc.property(sightings, drawn, (all, one) => {
      const id = `k8s:shop:orders:${one.fields.pod ?? one.fields.addresses?.[0]}`;
      const without = merged(apart(all)).filter(other => other.id !== id);
      expect(merged(apart([...all, one])).filter(other => other.id !== id)).toEqual(without);
    }),
  );
});
