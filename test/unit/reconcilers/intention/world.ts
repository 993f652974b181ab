import type { AdoptionPolicy, DriftPolicy } from '../../../../src/api/v1alpha1/common.ts';
import { type ModifyIndex, NOT_THERE } from '../../../../src/consul/types.ts';
import { claimPrefix, parseClaimName, readClaimState } from '../../../../src/core/intention-claims.ts';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import type { Owner } from '../../../../src/ownership/owner.ts';
import type { Head, OwnerRecord } from '../../../../src/ownership/record.ts';
import { isOwned } from '../../../../src/reconcilers/intention/decide.ts';
import {
  type IntentionPlan,
  planIntention,
  planIntentionEnd,
} from '../../../../src/reconcilers/intention/plan.ts';
import type {
  IntentionChange,
  IntentionFacts,
  SeenEntry,
} from '../../../../src/reconcilers/intention/types.ts';
import { type Declared, jwtName, seenEntry, sourceName, wishFor } from './builders.ts';
import { ModelEntries } from './model-entries.ts';

export const INSTALL = 'install-a';

export interface Resource extends Declared {
  readonly uid: string;
  readonly generation: number;
  readonly onDelete: 'Delete' | 'Retain';
  readonly adoptionPolicy: AdoptionPolicy;
  readonly driftPolicy: DriftPolicy;
}

/** A source, or a JWT requirement, as it stands. */
export type Raw = Readonly<Record<string, unknown>>;

interface Kept {
  readonly head: Head;
  readonly names: ReadonlyMap<string, string>;
}

/** Resources, their records, and the entries of one Consul in which people write as well. */
export class World {
  readonly entries = new ModelEntries();
  readonly resources = new Map<string, Resource>();
  readonly #records = new Map<string, Kept>();
  /** What people wrote, or were left, and nobody declares: by claim name. */
  readonly hand = new Map<string, Raw>();
  readonly #seen = new WeakMap<object, SeenEntry>();
  recordWrites = 0;
  epoch = 1;
  #uids = 0;

  declare(name: string, declared: Omit<Resource, 'uid' | 'generation'>): void {
    const { uid = `u-${++this.#uids}`, generation = 0 } = this.resources.get(name) ?? {};
    this.resources.set(name, { ...declared, uid, generation: generation + 1 });
  }

  names(name: string): ReadonlyMap<string, string> {
    return this.#records.get(name)?.names ?? new Map();
  }

  recorded(name: string): Kept | undefined {
    return this.#records.get(name);
  }

  everybody(): string[] {
    return [...new Set([...this.resources.keys(), ...this.#records.keys()])];
  }

  seen(destination: string): SeenEntry | undefined {
    const stored = this.entries.get(destination);
    if (stored === undefined) return undefined;
    const known = this.#seen.get(stored);
    if (known !== undefined) return known;
    const seen = seenEntry(destination, stored.body, stored.index);
    this.#seen.set(stored, seen);
    return seen;
  }

  /** What stands, by claim name. */
  raw(destination: string): Map<string, Raw> {
    const { Sources = [], JWT } = (this.entries.get(destination)?.body ?? {}) as {
      readonly Sources?: readonly Raw[];
      readonly JWT?: Raw;
    };
    const standing = new Map(Sources.map(source => [claimOf(destination, source), source]));
    return JWT === undefined ? standing : standing.set(jwtName(destination), JWT);
  }

  facts(name: string): IntentionFacts {
    const kept = this.#records.get(name);
    return {
      record: kept && recordOf(name, kept),
      entry: destination => this.seen(destination),
      rival: claim => this.#rival(claim, name),
      neighbours: destination =>
        [...this.#records]
          .filter(([other]) => other !== name)
          .map(([other, kept]) => recordOf(other, kept))
          .filter(({ shards }) =>
            [...(shards.get(0)?.names.keys() ?? [])].some(claim =>
              claim.startsWith(claimPrefix(destination)),
            ),
          ),
      claims: { index: NOT_THERE, asOf: 1, complete: true },
      refused: undefined,
    };
  }

  plan(name: string): IntentionPlan {
    const resource = this.resources.get(name);
    const writer = { installId: INSTALL, epoch: this.epoch };
    const facts = this.facts(name);
    if (resource === undefined) {
      return planIntentionEnd(facts, facts.record?.head.onDelete ?? 'Retain', writer);
    }
    return planIntention(wishFor(resource), facts, { ...resource, ...writer, ref: refOf(name) });
  }

  /** @returns false when there was nothing to do, or it was refused. */
  step(name: string, between: () => void = () => {}): boolean {
    const plan = this.plan(name);
    if (plan.kind !== 'change') return false;
    between();
    return this.apply(name, plan.change);
  }

  apply(name: string, change: IntentionChange): boolean {
    if (change.step === 'entry') return this.#write(name, change);
    if (change.edits.some(({ name: claim, to }) => to !== undefined && this.#rival(claim, name)))
      return false;
    const names = new Map(this.names(name));
    for (const { name: claim, to } of change.edits) {
      if (to === undefined) names.delete(claim);
      else names.set(claim, to);
    }
    this.#leaveToPeople(name, names);
    this.recordWrites += 1;
    if (change.step === 'end') this.#records.delete(name);
    else this.#records.set(name, { head: change.head, names });
    this.#takeFromPeople(name);
    return true;
  }

  /** What people do. An edit of what somebody owns is drift; anything else is theirs. */
  edit(destination: string, source: Raw): void {
    this.#put(destination, claimOf(destination, source), source);
  }

  editJwt(destination: string, jwt: Raw): void {
    this.#put(destination, jwtName(destination), jwt);
  }

  #put(destination: string, claim: string, raw: Raw): void {
    this.#rewrite(destination, standing => standing.set(claim, raw));
    const stored = this.raw(destination).get(claim);
    if (stored !== undefined && !this.isOwned(claim, destination)) this.hand.set(claim, stored);
  }

  remove(destination: string, claim: string): void {
    this.#rewrite(destination, standing => standing.delete(claim));
    this.hand.delete(claim);
  }

  isOwned(claim: string, destination: string): boolean {
    return [...this.#records.keys()].some(name => this.#owns(name, claim, destination));
  }

  #owns(name: string, claim: string, destination: string): boolean {
    const recorded = this.names(name).get(claim);
    if (recorded === undefined) return false;
    return isOwned(readClaimState(recorded), this.seen(destination)?.fingerprints.get(claim));
  }

  #write(name: string, change: Extract<IntentionChange, { step: 'entry' }>): boolean {
    const { destination, body, index } = change;
    const applied =
      body === undefined
        ? this.entries.delete(destination, index)
        : this.entries.put(destination, body, index);
    this.#forgetLost(destination);
    this.#takeFromPeople(name);
    return applied;
  }

  /** An adoption ends in somebody's ownership. */
  #takeFromPeople(name: string): void {
    for (const claim of this.hand.keys()) {
      const destination = parseClaimName(claim)?.destination ?? '';
      if (this.#owns(name, claim, destination)) this.hand.delete(claim);
    }
  }

  /** What stands and is let go of under Retain is nobody's any more. */
  #leaveToPeople(name: string, kept: ReadonlyMap<string, string>): void {
    if (this.#records.get(name)?.head.onDelete !== 'Retain') return;
    for (const claim of this.names(name).keys()) {
      const destination = parseClaimName(claim)?.destination ?? '';
      const raw = this.raw(destination).get(claim);
      if (!kept.has(claim) && raw !== undefined && this.#owns(name, claim, destination))
        this.hand.set(claim, raw);
    }
  }

  #rewrite(destination: string, change: (standing: Map<string, Raw>) => void): void {
    const { body, index } = this.entries.get(destination) ?? { body: {}, index: 0 };
    const standing = this.raw(destination);
    change(standing);
    const JWT = standing.get(jwtName(destination));
    standing.delete(jwtName(destination));
    if (standing.size === 0) this.entries.delete(destination, index);
    else {
      const named = { Kind: 'service-intentions', Name: destination, Someday: { kept: true } };
      this.entries.put(destination, { ...named, ...body, JWT, Sources: [...standing.values()] }, index);
    }
    this.#forgetLost(destination);
  }

  /** Consul keeps no JWT requirement without a source, whoever wrote it. */
  #forgetLost(destination: string): void {
    if (this.entries.get(destination) === undefined) this.hand.delete(jwtName(destination));
  }

  #rival(claim: string, name: string): Owner | undefined {
    for (const [other, { names }] of this.#records) {
      if (other !== name && names.has(claim)) return { kind: 'resource', ref: refOf(other) };
    }
    return undefined;
  }
}

function claimOf(destination: string, source: Raw): string {
  return sourceName(String(source['Name']), source['Peer'] as string | undefined, destination);
}

export function refOf(name: string): ResourceRef {
  return { kind: 'ConsulIntention', namespace: 'shop', name };
}

function recordOf(name: string, { head, names }: Kept): OwnerRecord {
  return { ref: refOf(name), head, shards: new Map([[0, { index: 5 as ModifyIndex, names }]]) };
}
