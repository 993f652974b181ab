import { beforeEach, expect, test } from 'vitest';
import type { ConfigEntry, ConfigEntryReadOptions } from '../../../src/consul/config-entry.ts';
import type { EntryDependency } from '../../../src/consul/config-entry-refusals.ts';
import type { Answer, ModifyIndex } from '../../../src/consul/types.ts';
import type { ResourceRef } from '../../../src/core/resource.ts';
import { DependencyWatch } from '../../../src/mirror/dependency-watch.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const ref = (name: string): ResourceRef => ({ kind: 'ConsulIntention', namespace: 'shop', name });
const [A, B, C] = [ref('a'), ref('b'), ref('c')] as const;

const okta: EntryDependency = { kind: 'jwt-provider', name: 'okta' };
const orders: EntryDependency = { kind: 'protocol', service: 'orders' };

const entry = (kind: string, name: string, index: number, more: object = {}): ConfigEntry => ({
  kind,
  name,
  createIndex: 1,
  modifyIndex: index as ModifyIndex,
  body: { Kind: kind, Name: name, ...more },
});
const defaults = (name: string, Protocol: string, index = 5): ConfigEntry =>
  entry('service-defaults', name, index, { Protocol });
const provider = (name: string, index = 5): ConfigEntry => entry('jwt-provider', name, index);

interface Asked {
  readonly kind: string;
  readonly options: ConfigEntryReadOptions;
  readonly answer: (answer: Answer<readonly ConfigEntry[]>) => void;
  isPending: boolean;
}

let asked: Asked[];
let told: string[][];
let clock: FakeClock;
let watch: DependencyWatch;

beforeEach(() => {
  [asked, told] = [[], []];
  clock = new FakeClock();
  watch = new DependencyWatch({
    consul: {
      configEntries: {
        get: () => Promise.reject(new Error('not asked')),
        list: (kind, options) =>
          new Promise((answer, reject) => {
            const one: Asked = { kind, options, answer, isPending: true };
            options.signal.addEventListener('abort', () => {
              one.isPending = false;
              reject(new Error('aborted'));
            });
            asked.push(one);
          }),
      },
    },
    datacenter: () => 'dc1',
    clock,
    logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as never,
    signal: new AbortController().signal,
  });
  watch.onChange(refs => told.push(refs.map(({ name }) => name)));
});

const open = (): string[] =>
  asked
    .filter(({ isPending }) => isPending)
    .map(({ kind }) => kind)
    .toSorted();

async function answer(kind: string, entries: readonly ConfigEntry[], index = 5): Promise<void> {
  await settled();
  const one = asked.findLast(each => each.kind === kind && each.isPending);
  if (one === undefined) throw new Error(`${kind} was not asked for`);
  one.isPending = false;
  one.answer({ value: entries, index, filteredByAcl: false, knownLeader: true, elapsedMs: 1 });
  await settled();
  clock.advance(2000);
  await settled();
}

test('only the kinds that somebody waits for are watched, and none when nobody does', async () => {
  expect(open()).toEqual([]);
  watch.await(A, [okta]);
  await settled();
  expect(open()).toEqual(['jwt-provider']);
  watch.await(B, [orders]);
  await settled();
  expect(open()).toEqual(['jwt-provider', 'proxy-defaults', 'service-defaults']);
  watch.await(C, [okta]);
  watch.release(A);
  await settled();
  expect(open()).toEqual(['jwt-provider', 'proxy-defaults', 'service-defaults']);
  watch.release(B);
  watch.release(C);
  watch.release(C);
  expect(open()).toEqual([]);
  expect(asked[0]?.options).toMatchObject({ datacenter: 'dc1' });
});

test('exactly those are told whose dependency is there now', async () => {
  watch.await(A, [okta]);
  watch.await(B, [{ kind: 'jwt-provider', name: 'auth0' }]);
  await answer('jwt-provider', [provider('other')]);
  expect(told).toEqual([]);
  await answer('jwt-provider', [provider('other'), provider('Okta', 6)], 6);
  expect(told).toEqual([['a']]);
});

test('what is there when the watch begins is told at once, and so is what a second one waits for then', async () => {
  watch.await(A, [okta]);
  await answer('jwt-provider', [provider('okta')]);
  expect(told).toEqual([['a']]);
  watch.await(B, [okta]);
  expect(told).toEqual([['a'], ['b']]);
});

test('whoever is refused again for what is there is not told again before that changes', async () => {
  watch.await(A, [okta]);
  await answer('jwt-provider', [provider('okta')]);
  watch.await(A, [okta]);
  await answer('jwt-provider', [provider('okta'), provider('new', 6)], 6);
  expect(told).toEqual([['a']]);
  await answer('jwt-provider', [provider('okta', 7)], 7);
  expect(told).toEqual([['a'], ['a']]);
});

test('all that is missing has to be there', async () => {
  watch.await(A, [okta, orders]);
  await answer('jwt-provider', [provider('okta')]);
  await answer('service-defaults', []);
  await answer('proxy-defaults', []);
  expect(told).toEqual([]);
  await answer('service-defaults', [defaults('orders', 'http', 6)], 6);
  expect(told).toEqual([['a']]);
});

test.each<[protocol: string, told: string[][]]>([
  ['http', [['a']]],
  ['HTTP2', [['a']]],
  ['grpc', [['a']]],
  ['tcp', []],
  ['mongo', []],
  ['', []],
])('a service of protocol "%s" tells %j', async (protocol, expected) => {
  watch.await(A, [orders]);
  await answer('service-defaults', [defaults('orders', protocol), defaults('pay', 'http')]);
  expect(told).toEqual(expected);
});

test('the protocol of all services counts where the service has none of its own', async () => {
  watch.await(A, [orders]);
  watch.await(B, [{ kind: 'protocol', service: 'pay' }]);
  await answer('service-defaults', [defaults('orders', ''), defaults('pay', 'tcp')]);
  await answer('proxy-defaults', [entry('proxy-defaults', 'global', 5, { Config: { protocol: 'http' } })]);
  expect(told).toEqual([['a']]);
});

test('whoever waits for something without a name is told of nothing', async () => {
  watch.await(A, []);
  await settled();
  expect(open()).toEqual([]);
  expect(told).toEqual([]);
});
