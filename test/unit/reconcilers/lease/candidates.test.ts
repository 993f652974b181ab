import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LabelSelector } from '../../../../src/api/v1alpha1/consulleaderlease.ts';
import { candidatesAmong, disqualification } from '../../../../src/reconcilers/lease/candidates.ts';
import { type Pod, readPod, targetPortOn, trimPod } from '../../../../src/reconcilers/lease/pods.ts';
import { matchesSelector, selectorText } from '../../../../src/reconcilers/lease/selector.ts';
import { aPod, aRawPod } from './builders.ts';

const ORDERS: LabelSelector = { matchLabels: { app: 'orders' } };
type Requirement = NonNullable<LabelSelector['matchExpressions']>[number];
const needing = (...matchExpressions: readonly Requirement[]): LabelSelector => ({
  matchExpressions: [...matchExpressions],
});

describe('a selector', () => {
  test.each<[says: string, selector: LabelSelector, labels: Record<string, string>, matches: boolean]>([
    ['a label of this value', ORDERS, { app: 'orders', tier: 'x' }, true],
    ['not one of another value', ORDERS, { app: 'order' }, false],
    ['nor one that is not there', ORDERS, {}, false],
    ['all labels', { matchLabels: { app: 'orders', tier: 'x' } }, { app: 'orders' }, false],
    ['an empty value', { matchLabels: { app: '' } }, { app: '' }, true],
    ['an empty value is not a missing label', { matchLabels: { app: '' } }, {}, false],
    ['In', needing({ key: 'app', operator: 'In', values: ['a', 'b'] }), { app: 'b' }, true],
    ['In needs the label', needing({ key: 'app', operator: 'In', values: ['a'] }), {}, false],
    ['NotIn', needing({ key: 'app', operator: 'NotIn', values: ['a'] }), { app: 'a' }, false],
    ['NotIn of another value', needing({ key: 'app', operator: 'NotIn', values: ['a'] }), { app: 'b' }, true],
    ['NotIn without the label', needing({ key: 'app', operator: 'NotIn', values: ['a'] }), {}, true],
    ['Exists', needing({ key: 'app', operator: 'Exists' }), { app: '' }, true],
    ['Exists without the label', needing({ key: 'app', operator: 'Exists' }), { tier: 'x' }, false],
    ['DoesNotExist', needing({ key: 'app', operator: 'DoesNotExist' }), { tier: 'x' }, true],
    ['DoesNotExist with the label', needing({ key: 'app', operator: 'DoesNotExist' }), { app: '' }, false],
    [
      'labels and requirements together',
      { ...ORDERS, ...needing({ key: 'canary', operator: 'DoesNotExist' }) },
      { app: 'orders', canary: '1' },
      false,
    ],
    ['a label every object seems to have', needing({ key: 'constructor', operator: 'Exists' }), {}, false],
  ])('matches %s', (_, selector, labels, matches) => {
    expect(matchesSelector(selector, labels)).toBe(matches);
  });

  test('reads the same in whatever order it is written', () => {
    const one = needing(
      { key: 'b', operator: 'In', values: ['2', '1'] },
      { key: 'a', operator: 'Exists' },
      { key: 'c', operator: 'NotIn', values: ['x'] },
      { key: 'd', operator: 'DoesNotExist' },
    );
    const other = { matchExpressions: [...(one.matchExpressions ?? [])].reverse() };
    expect(selectorText(one)).toBe('!d,a,b in (1,2),c notin (x)');
    expect(selectorText(other)).toBe(selectorText(one));
    expect(selectorText(ORDERS)).toBe('app=orders');
    expect(selectorText(needing({ key: 'app', operator: 'In', values: ['orders'] }))).toBe('app=orders');
  });
});

describe('a Pod that is cut down to what matters', () => {
  const whole = aRawPod('a', {
    metadata: {
      ...aRawPod('a').metadata,
      deletionTimestamp: '2026-01-01T00:02:00Z',
      annotations: { big: 'x' },
      managedFields: [],
    },
    spec: {
      nodeName: 'node-1',
      volumes: [{ name: 'v' }],
      containers: [
        { name: 'one', image: 'i', ports: [{ name: 'http', containerPort: 80 }, { containerPort: 81 }] },
        { name: 'two', env: [{ name: 'SECRET', value: 'x' }] },
      ],
      initContainers: [
        {
          name: 'sidecar',
          restartPolicy: 'Always',
          ports: [{ name: 'side', containerPort: 9, protocol: 'UDP' }],
        },
        { name: 'init', ports: [{ name: 'gone', containerPort: 1 }] },
      ],
    },
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }],
      conditions: [
        { type: 'Initialized', status: 'True' },
        { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:01:00Z', message: 'x' },
      ],
    },
  });

  test.each([
    ['whole', whole],
    ['plain', aRawPod('a')],
    ['empty', { metadata: whole.metadata }],
  ])('reads the same (%s), however often that is done', (_, pod) => {
    const trimmed = trimPod(pod);
    expect(readPod(trimmed)).toEqual(readPod(pod));
    expect(trimPod(trimmed)).toEqual(trimmed);
  });

  test('carries nothing else', () => {
    const text = JSON.stringify(trimPod(whole));
    for (const gone of ['SECRET', 'annotations', 'managedFields', 'volumes', 'Initialized', 'image', '81'])
      expect(text).not.toContain(gone);
  });
});

describe('a Pod', () => {
  test('is read as the API server hands it out', () => {
    const raw = aRawPod('a', {
      spec: {
        nodeName: 'node-1',
        containers: [
          { ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }, { containerPort: 1 }] },
        ],
        initContainers: [
          { ports: [{ name: 'init', containerPort: 1 }] },
          { restartPolicy: 'Always', ports: [{ name: 'side', containerPort: 2 }] },
        ],
      },
      status: {
        phase: 'Running',
        podIP: '10.0.0.1',
        podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }],
        conditions: [
          { type: 'Initialized', status: 'True' },
          { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:01:00Z' },
        ],
      },
    });
    expect(readPod(raw)).toEqual({
      name: 'a',
      uid: 'u-a',
      labels: { app: 'orders' },
      isReady: true,
      readySinceMs: Date.parse('2026-01-01T00:01:00Z'),
      createdMs: Date.parse('2026-01-01T00:00:00Z'),
      isDeleting: false,
      isTerminal: false,
      addresses: ['10.0.0.1', 'fd00::1'],
      node: 'node-1',
      ports: [
        { name: 'http', port: 8080, protocol: 'TCP' },
        { name: 'side', port: 2, protocol: 'TCP' },
      ],
    });
  });

  test.each<[says: string, parts: object]>([
    ['without a status', { status: undefined }],
    ['of odd types', { spec: 'x', status: { conditions: [null, 7], podIPs: [{}], phase: {} } }],
    ['that is Unknown', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }],
  ])('%s is not Ready, and no exception', (_, parts) => {
    const pod = readPod(aRawPod('a', parts));
    expect(pod).toMatchObject({
      isReady: false,
      readySinceMs: Number.POSITIVE_INFINITY,
      addresses: [],
      ports: [],
    });
  });

  test.each<[says: string, pod: Partial<Pod>, why: string | undefined]>([
    ['that is Ready and matches', {}, undefined],
    ['that is not Ready', { isReady: false }, 'is not Ready'],
    ['that is being deleted', { isDeleting: true }, 'is being deleted'],
    ['that has ended', { isTerminal: true }, 'has ended'],
    ['that was relabelled', { labels: {} }, 'does not match the selector'],
  ])('%s', (_, more, why) => {
    const pod = aPod('a', more);
    expect(disqualification(pod, ORDERS)).toBe(why);
    expect(candidatesAmong([pod], ORDERS)).toEqual(why === undefined ? [pod] : []);
  });

  test.each(['Succeeded', 'Failed'])('in phase %s has ended', phase => {
    expect(readPod(aRawPod('a', { status: { phase } })).isTerminal).toBe(true);
  });

  test('has ports by number and by name', () => {
    const pod = aPod('a', { ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }] });
    expect(targetPortOn(pod, { port: 80 })).toBe(80);
    expect(targetPortOn(pod, { port: 80, targetPort: 8080 })).toBe(8080);
    expect(targetPortOn(pod, { port: 53, targetPort: 'dns', protocol: 'UDP' })).toBe(5353);
    expect(targetPortOn(pod, { port: 53, targetPort: 'dns' })).toBeUndefined();
  });
});

describe('the order of candidates', () => {
  const order = (...pods: readonly Pod[]) => candidatesAmong(pods, ORDERS).map(({ name }) => name);

  test('is: longest Ready, then oldest, then by name', () => {
    const [late, early] = [{ readySinceMs: 2 }, { readySinceMs: 1 }];
    expect(order(aPod('a', late), aPod('b', early))).toEqual(['b', 'a']);
    expect(order(aPod('a', { createdMs: 2 }), aPod('b', { createdMs: 1 }))).toEqual(['b', 'a']);
    expect(order(aPod('b'), aPod('a'))).toEqual(['a', 'b']);
    expect(order(aPod('a', { ...late, createdMs: 0 }), aPod('b', { ...early, createdMs: 9 }))).toEqual([
      'b',
      'a',
    ]);
  });

  test('puts a Pod of which nobody knows since when it is Ready behind the others', () => {
    const unknown = { readySinceMs: Number.POSITIVE_INFINITY };
    expect(order(aPod('a', unknown), aPod('b', unknown), aPod('c'))).toEqual(['c', 'a', 'b']);
  });

  test('does not depend on that in which they were seen', () => {
    const time = fc.constantFrom(0, 1, Number.POSITIVE_INFINITY);
    const some = fc.uniqueArray(
      fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), readySinceMs: time, createdMs: time }),
      {
        selector: ({ name }) => name,
      },
    );
    const shuffled = some.chain(pods =>
      fc.tuple(fc.constant(pods), fc.shuffledSubarray(pods, { minLength: pods.length })),
    );
    fc.assert(
      fc.property(shuffled, ([pods, others]) => {
        const names = (list: typeof pods) => order(...list.map(({ name, ...times }) => aPod(name, times)));
        expect(names(others)).toEqual(names(pods));
      }),
    );
  });
});
