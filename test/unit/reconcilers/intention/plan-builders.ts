import type { IntentionSource } from '../../../../src/api/v1alpha1/consulintention.ts';
import type { ConfigEntryBody } from '../../../../src/consul/config-entry.ts';
import { type ModifyIndex, NOT_THERE } from '../../../../src/consul/types.ts';
import type { Owner } from '../../../../src/ownership/owner.ts';
import type { Head } from '../../../../src/ownership/record.ts';
import {
  type IntentionPlan,
  planIntention,
  planIntentionEnd,
} from '../../../../src/reconcilers/intention/plan.ts';
import type { Declarer, IntentionFacts } from '../../../../src/reconcilers/intention/types.ts';
import { DESTINATION, fingerprintOf, seenEntry, sourceName, wishFor } from './builders.ts';
import { refOf } from './world.ts';

export const INDEX = 10;
export const WEB = sourceName('web');

/** A source `web`, told from others by its description. */
export function web(description: string): IntentionSource {
  return { name: 'web', action: 'allow', description };
}

export function fingerprintOfWeb(description: string): string {
  return fingerprintOf({ Name: 'web', Action: 'allow', Description: description });
}

export const SETTLED: Head = { uid: 'u-1', generation: 1, epoch: 1, onDelete: 'Delete', phase: 'settled' };

export interface Situation {
  readonly sources?: readonly IntentionSource[];
  readonly jwt?: Parameters<typeof wishFor>[0]['jwt'];
  /** By claim name, what the record says. */
  readonly record?: Readonly<Record<string, string>> | undefined;
  readonly head?: Partial<Head>;
  /** Of the entry; undefined: there is none. */
  readonly stored?: readonly object[] | undefined;
  readonly body?: ConfigEntryBody;
  readonly rivals?: Readonly<Record<string, Owner>>;
  readonly declarer?: Partial<Declarer>;
  readonly facts?: Partial<IntentionFacts>;
}

export function factsOf({ record, head, stored, body, rivals = {}, facts }: Situation): IntentionFacts {
  const entry =
    stored === undefined
      ? undefined
      : seenEntry(
          DESTINATION,
          { Kind: 'service-intentions', Name: DESTINATION, ...body, Sources: stored },
          INDEX,
        );
  const shard = { index: 5 as ModifyIndex, names: new Map(Object.entries(record ?? {})) };
  return {
    record:
      record === undefined
        ? undefined
        : { ref: refOf('r1'), head: { ...SETTLED, ...head }, shards: new Map([[0, shard]]) },
    entry: destination => (destination === DESTINATION ? entry : undefined),
    rival: name => rivals[name],
    neighbours: () => [],
    claims: { index: NOT_THERE, asOf: 1, complete: true },
    refused: undefined,
    ...facts,
  };
}

export function planOf(situation: Situation): IntentionPlan {
  const { sources = [], jwt, declarer } = situation;
  return planIntention(wishFor({ destination: DESTINATION, sources, jwt }), factsOf(situation), {
    installId: 'install-a',
    ref: refOf('r1'),
    uid: 'u-1',
    generation: 2,
    epoch: 1,
    onDelete: 'Delete',
    adoptionPolicy: 'IfEqual',
    driftPolicy: 'Correct',
    ...declarer,
  });
}

export function endOf(situation: Situation, onDelete: 'Delete' | 'Retain' = 'Delete'): IntentionPlan {
  return planIntentionEnd(factsOf(situation), onDelete, { installId: 'install-a', epoch: 1 });
}

/** `entry correct put web (drifted: web)`: a plan in one line. */
export function told(plan: IntentionPlan): string {
  if (plan.kind === 'wait' || plan.kind === 'refuse') return `${plan.reason}: ${plan.message}`;
  const drifted = plan.drifted.length === 0 ? '' : ` (drifted: ${plan.drifted.join(', ')})`;
  if (plan.kind === 'noop') return `nothing${drifted}`;
  const { change } = plan;
  const edits =
    change.step === 'entry'
      ? change.edits.map(({ cause, verb, name }) => `${cause} ${verb} ${short(name)}`)
      : change.edits.map(({ cause, name, to }) => `${cause} ${short(name)}${markOf(to)}`);
  return `${[change.step, ...edits].join(' ')}${drifted}`;
}

function short(name: string): string {
  return name.split('/').at(-1) ?? name;
}

function markOf(to: string | undefined): string {
  if (to === undefined) return ' -';
  return to.startsWith('~') ? ' ~' : to === '!' ? ' !' : ' =';
}
