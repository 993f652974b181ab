import { expect } from 'vitest';
import { eventually } from '../eventually.ts';
import type { Resources } from '../resources.ts';
import type { World } from '../world.ts';
import { intentionSubject } from './intention-subject.ts';
import { kvSubject } from './kv-subject.ts';
import { serviceSubject } from './service-subject.ts';

/**
 * A kind as the tests of the promises see it, whatever it is about: a resource makes one text stand at one place of
 * Consul. A place is `<folder>/<name>`; what is in one folder may have to share an object of Consul.
 */
export interface Subject {
  readonly resources: Resources;
  spec(place: string, text: string): Readonly<Record<string, unknown>>;
  /** What stands at all places of the world, whoever put it there. */
  standing(): Promise<Readonly<Record<string, string>>>;
  /** The bytes that Consul keeps of a place; undefined: nothing stands there. */
  at(place: string): Promise<string | undefined>;
  /** All that stands at the places, but for what no two runs have in common: indexes, epochs. */
  snapshot(): Promise<unknown>;
  /** The same with indexes: equal as long as nothing there is written. */
  exact(): Promise<unknown>;
  /** As somebody who is no operator; all else stays as it is. */
  putByHand(place: string, text: string): Promise<void>;
  /** What an owner record calls the place. */
  claim(place: string): string;
  /** ACL rules: to write everywhere, and what else the kind needs. */
  rights(): readonly string[];
  /** The ACL rule that narrows these down for one folder. */
  rightOf(folder: string, policy: 'read' | 'deny'): string;
  /** The right that Consul names when it refuses a write. */
  readonly missingRight: RegExp;
  /** Takes everything away that stands at the places. */
  clear(): Promise<void>;
}

/** @param home Whose places: another world's, when two installs want the same ones. */
type SubjectOf = (world: World, home?: World) => Subject;

/** Every kind that the shared tests run for. */
export const SUBJECTS: readonly { readonly kind: string; readonly of: SubjectOf }[] = [
  { kind: 'ConsulKV', of: kvSubject },
  { kind: 'ConsulIntention', of: intentionSubject },
  { kind: 'ConsulService', of: serviceSubject },
];

/** Resolves once exactly this stands at the places. */
export async function becomesStanding(
  subject: Subject,
  expected: Readonly<Record<string, string>>,
): Promise<void> {
  const isSo = async (): Promise<void> => expect(await subject.standing()).toEqual(expected);
  await eventually(isSo, { what: 'exactly that stands in Consul' });
}
