import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { type LabelStep, type LabelWish, planLabels } from '../../../../src/reconcilers/lease/labels.ts';
import type { Pod } from '../../../../src/reconcilers/lease/pods.ts';
import { aPod, podRef } from './builders.ts';

const LABEL = 'proconsul.dev/leader';
const NAMES: readonly string[] = ['a', 'b', 'c', 'd', 'e'];
const labelled = (name: string, value = 'true', label = LABEL): Pod =>
  aPod(name, { labels: { app: 'orders', [label]: value } });

const planOf = (wish: Partial<LabelWish>): string[] =>
  planLabels({
    label: LABEL,
    formerLabel: undefined,
    holders: [],
    pods: [],
    former: [],
    isLedElsewhere: () => false,
    ...wish,
  }).map(tell);

const tell = ({ pod, label, value }: LabelStep): string =>
  `${pod.name}/${pod.uid} ${label === LABEL ? '' : `${label} `}${value ?? 'none'}`;

test.each<[says: string, wish: Partial<LabelWish>, plan: readonly string[]]>([
  ['a leader gets it', { holders: [podRef('a')], pods: [aPod('a'), aPod('b')] }, ['a/u-a true']],
  ['a leader keeps it', { holders: [podRef('a')], pods: [labelled('a')] }, []],
  ['a leader gets it back', { holders: [podRef('a')], pods: [labelled('a', 'false')] }, ['a/u-a true']],
  [
    'who leads no more loses it, before another gets it',
    { holders: [podRef('b')], pods: [labelled('a'), aPod('b')] },
    ['a/u-a none', 'b/u-b true'],
  ],
  ['who never led does not keep it', { pods: [labelled('a')] }, ['a/u-a none']],
  ['another value is none of ours', { pods: [labelled('a', 'standby')] }, []],
  ['what another lease says, stays', { pods: [labelled('a')], isLedElsewhere: () => true }, []],
  ['who led and matches no more loses it', { former: [podRef('a')] }, ['a/u-a none']],
  [
    'who led, matches no more and leads still, keeps it',
    { former: [podRef('a')], holders: [podRef('a')] },
    [],
  ],
  [
    'a Pod that came in the place of a leader is another',
    { holders: [podRef('a')], pods: [aPod('a', { uid: 'new' })] },
    [],
  ],
  [
    'another name of the label: the old one goes',
    {
      formerLabel: 'old',
      holders: [podRef('a')],
      pods: [labelled('a', 'true', 'old'), labelled('b', 'true', 'old')],
    },
    ['a/u-a old none', 'b/u-b old none', 'a/u-a true'],
  ],
  [
    'nobody leads a lease that goes',
    { pods: [labelled('a')], former: [podRef('a'), podRef('b')] },
    ['a/u-a none', 'b/u-b none'],
  ],
])('%s', (_, wish, plan) => {
  expect(planOf(wish)).toEqual(plan);
});

test('planning after applying finds nothing to do', () => {
  const value = fc.constantFrom(undefined, 'true', 'false');
  const pods = fc.uniqueArray(fc.record({ name: fc.constantFrom(...NAMES), value, old: value }), {
    selector: ({ name }) => name,
  });
  const names = fc.uniqueArray(fc.constantFrom(...NAMES, 'f'));
  fc.assert(
    fc.property(pods, names, names, (states, holding, led) => {
      const labels = new Map(states.map(({ name, value, old }) => [name, { [LABEL]: value, old }]));
      const wishNow = (former: readonly string[]): LabelWish => ({
        label: LABEL,
        formerLabel: 'old',
        holders: holding.map(podRef),
        pods: [...labels].map(([name, of]) => {
          const given = Object.entries(of).filter(([, value]) => value !== undefined);
          return aPod(name, { labels: Object.fromEntries(given) as Record<string, string> });
        }),
        former: former.map(podRef),
        isLedElsewhere: () => false,
      });
      for (const { pod, label, value } of planLabels(wishNow(led))) {
        const present = labels.get(pod.name);
        if (present !== undefined) labels.set(pod.name, { ...present, [label]: value });
      }
      for (const [name, of] of labels) {
        expect(of[LABEL] === 'true').toBe(holding.includes(name));
        expect(of.old).not.toBe('true');
      }
      // The status says by now who leads, so nobody else led before.
      expect(planLabels(wishNow([]))).toEqual([]);
    }),
  );
});
