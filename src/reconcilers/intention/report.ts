import type { EventReason } from '../../api/v1alpha1/common.ts';
import type { ConsulIntentionStatus } from '../../api/v1alpha1/consulintention.ts';
import { describeClaim } from '../../core/intention-claims.ts';
import { named } from '../../core/named.ts';
import type { Receipt } from '../../runtime/kind.ts';
import { isOwned, standing, statesIn } from './decide.ts';
import type { Cause, EntryEdit, IntentionChange, IntentionFacts } from './types.ts';

type StatusFields = Required<Pick<ConsulIntentionStatus, 'sources' | 'precedence'>>;

/** What the status says of the sources that the resource owns and that stand in Consul. */
export function intentionStatus(destination: string, facts: IntentionFacts): StatusFields {
  const states = statesIn(facts);
  const stored = facts.entry(destination)?.contents.sources ?? new Map();
  const own = [...stored].filter(([name]) => isOwned(states.get(name), standing(facts, name)));
  const precedence = own.map(([, { canonical, precedence }]) => ({
    source: canonical.Name,
    ...(canonical.Peer === undefined ? {} : { peer: canonical.Peer }),
    precedence,
  }));
  return { sources: own.length, precedence: precedence.sort(byPrecedence) };
}

type Precedence = StatusFields['precedence'][number];

/** As Consul tries them; among equals by name, so that an order which means nothing is never a change. */
function byPrecedence(one: Precedence, other: Precedence): number {
  const named = ({ peer = '', source }: Precedence): string => `${peer}/${source}`;
  return other.precedence - one.precedence || (named(one) < named(other) ? -1 : 1);
}

/** What Ready says of a resource that equals its spec. */
export function readyMessage(declaredSources: number): string {
  return declaredSources === 1
    ? '1 source in Consul equals the spec'
    : `${declaredSources} sources in Consul equal the spec`;
}

/** What one step did, as its Event tells it: the first of a change says best what it was. */
export function receiptFor(change: IntentionChange, { deleting }: { readonly deleting: boolean }): Receipt {
  if (change.step === 'claim') return { kind: 'tidied' };
  const corrected =
    change.step === 'entry' ? change.edits.filter(({ cause }) => cause === 'correct').length : 0;
  return {
    kind: 'applied',
    event: eventFor(change, deleting),
    note: deleting ? noteForDeletion(change) : summarize(editsOf(change)),
    corrected,
  };
}

/** A step of the record alone touches no entry. */
function editsOf(change: IntentionChange): readonly EntryEdit[] {
  if (change.step === 'entry') return change.edits;
  return change.edits.map(({ name, cause }) => ({ name, cause, verb: 'none' }));
}

/** The strongest thing to say about a change: taking over, then a first write, then repair, then the usual. */
function eventFor(change: IntentionChange, deleting: boolean): EventReason {
  const has = (cause: Cause): boolean => change.edits.some(edit => edit.cause === cause);
  if (deleting) return 'Deleted';
  if (has('adopt')) return 'Adopted';
  if (change.step === 'entry' && change.isFirst) return 'Created';
  return change.step === 'entry' && has('correct') ? 'DriftCorrected' : 'Updated';
}

function noteForDeletion(change: IntentionChange): string {
  return change.step === 'entry'
    ? `removed ${list(change.edits.map(({ name }) => name))} of destination ${change.destination}`
    : 'let go of what the resource owned';
}

/** `write web; take over api; remove old`: what becomes of sources. */
export function summarize(edits: readonly EntryEdit[]): string {
  const told = (what: string, wanted: (edit: EntryEdit) => boolean): string[] => {
    const names = edits.filter(wanted).map(({ name }) => name);
    return names.length === 0 ? [] : [`${what} ${list(names)}`];
  };
  const parts = [
    ...told('write', ({ verb }) => verb === 'put'),
    ...told('take over', ({ verb, cause }) => verb === 'none' && cause === 'adopt'),
    ...told('remove', ({ verb }) => verb === 'remove'),
  ];
  return parts.length > 0 ? parts.join('; ') : 'update the owner record';
}

function list(names: readonly string[]): string {
  return named(names.map(describeClaim));
}
