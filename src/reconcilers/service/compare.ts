import { OWN_META } from '../../api/v1alpha1/consulservice-cel.ts';
import type { CheckRow, ServiceRow } from '../../consul/nodes.ts';
import { sameCheck, sameService, type ServiceRegistration } from '../../consul/registration.ts';
import { type CheckId, checkPlace, foldId, parseCheckId, type ServiceId } from '../../consul/service-ids.ts';
import { type InstanceState, readInstanceState } from '../../core/instance-names.ts';
import { listedNames } from '../../ownership/record.ts';
import { CHECK_NOTES, checkIdOf, OWN_CHECKS } from './checks.ts';
import { declaresSameTags } from './fingerprints.ts';
import { OWNER_MARK, ownerMark } from './marks.ts';
import type { Place } from './operations.ts';
import type {
  Declarer,
  SeenInstance,
  ServiceFacts,
  ServiceWish,
  WishedCheck,
  WishedInstance,
} from './types.ts';

/** A wished instance beside what the record says of it and what stands. */
export interface Comparison {
  readonly wished: WishedInstance;
  /** As it is to stand: with the tags that others gave it, where they may. */
  readonly service: ServiceRegistration;
  /** Those that are to stand with it: none where consul-esm would run them. */
  readonly checks: readonly WishedCheck[];
  /**
   * Those of them that are newly declared of an instance that stands, and have not run yet. They are written with their first
   * result: an instance in use does not go down for being asked more. Until then what they may replace stays.
   */
  readonly awaited: readonly WishedCheck[];
  readonly seen: SeenInstance | undefined;
  readonly recorded: string | undefined;
  readonly state: InstanceState | undefined;
  /** What stands, or should, is the resource's. */
  readonly isOurs: boolean;
  /** It carries the mark of this very resource. */
  readonly isMarked: boolean;
  /** What stands is as wished, whatever the checks say. */
  readonly isEqual: boolean;
}

export type Comparisons = ReadonlyMap<string, Comparison>;

export function compareAll(
  { instances }: ServiceWish,
  facts: ServiceFacts,
  { installId, ref }: Pick<Declarer, 'installId' | 'ref'>,
): Comparisons {
  const listed = namesIn(facts);
  const mark = ownerMark(installId, ref);
  return new Map(
    [...instances].map(([name, wished]) => [name, compare(wished, listed.get(name), facts, mark)]),
  );
}

function compare(
  wished: WishedInstance,
  recorded: string | undefined,
  facts: ServiceFacts,
  mark: string,
): Comparison {
  const seen = facts.seen(wished.name);
  const checks = facts.node(wished.node.node)?.isOfEsm === true ? [] : wished.checks;
  const state = recorded === undefined ? undefined : readInstanceState(recorded);
  const isOurs = isOwned(state, seen, mark);
  const service = isOurs ? withTagsOfOthers(wished, recorded, seen) : wished.service;
  const isRedeclared = isOurs && state?.kind === 'settled' && state.fingerprint !== wished.fingerprint;
  const awaited = isRedeclared ? checks.filter(check => isAwaited(check, wished, facts)) : [];
  const isEqual = seen !== undefined && isAsWished({ service, checks, awaited }, seen);
  return {
    wished,
    service,
    checks,
    awaited,
    seen,
    recorded,
    state,
    isOurs,
    isMarked: isMarkedBy(mark, seen),
    isEqual,
  };
}

function isAwaited(
  { check, says }: WishedCheck,
  { name, node }: WishedInstance,
  facts: ServiceFacts,
): boolean {
  const seen = facts.seen(name);
  if (says.kind !== 'probe' || seen === undefined || rowOf(check.id, seen) !== undefined) return false;
  return facts.health.verdict(checkPlace(node.node, check.id)) === undefined;
}

/** What the record says of each name. */
export function namesIn({ record }: Pick<ServiceFacts, 'record'>): ReadonlyMap<string, string> {
  return record === undefined ? new Map() : listedNames(record);
}

/** What is claimed is ours once it carries our mark: somebody else may have been faster. */
export function isOwned(
  state: InstanceState | undefined,
  seen: SeenInstance | undefined,
  mark: string,
): boolean {
  return state?.kind === 'claimed' ? isMarkedBy(mark, seen) : state !== undefined;
}

function isMarkedBy(mark: string, seen: SeenInstance | undefined): boolean {
  return seen?.row.service.meta.get(OWNER_MARK) === mark;
}

/** With `enableTagOverride` those found in Consul stay, until other ones are declared. */
function withTagsOfOthers(
  { service, fingerprint }: WishedInstance,
  recorded: string | undefined,
  seen: SeenInstance | undefined,
): ServiceRegistration {
  const isLeft =
    service.enableTagOverride && recorded !== undefined && declaresSameTags(recorded, fingerprint);
  return isLeft && seen !== undefined ? { ...service, tags: seen.row.service.tags } : service;
}

type Standing = Pick<Comparison, 'service' | 'checks'>;

function isAsWished(wished: Standing & Pick<Comparison, 'awaited'>, seen: SeenInstance): boolean {
  return (
    isSameService(wished.service, seen) &&
    dueChecks(wished).every(({ check }) => {
      const row = rowOf(check.id, seen);
      return row !== undefined && sameCheck(check, row.check);
    }) &&
    replacedChecks(wished, seen).length === 0
  );
}

/** Those that are to stand by now. */
export function dueChecks({
  checks,
  awaited,
}: Pick<Comparison, 'checks' | 'awaited'>): readonly WishedCheck[] {
  return awaited.length === 0 ? checks : checks.filter(check => !awaited.includes(check));
}

/** Those that are to go by now. */
export function replacedChecks(
  wished: Standing & Pick<Comparison, 'awaited'>,
  seen: SeenInstance | undefined,
): readonly CheckRow[] {
  return wished.awaited.length === 0 ? superfluousChecks(wished, seen) : [];
}

/** Whether no other service has to be written. */
export function isSameService(service: ServiceRegistration, { row }: SeenInstance): boolean {
  return row.kind === kindOf(service) && sameService(service, row.service);
}

/** Whether it could be written again as it is: a gateway, for one, could not. */
export function isKnownKind({ kind, service }: ServiceRow): boolean {
  return kind === kindOf(service);
}

/** What Consul does with it. */
function kindOf({ connect }: ServiceRegistration): string {
  return connect?.kind === 'proxy' ? 'connect-proxy' : '';
}

/** Whether whoever registered it declared the same. Our marks, and our notes at checks, nobody else makes. */
export function isDeclaredAlike({ service, checks }: Standing, { row, checks: rows }: SeenInstance): boolean {
  const seen: SeenInstance = {
    row: { ...row, service: { ...row.service, meta: unmarked(row.service.meta) } },
    checks: rows.map(one => ({ ...one, check: { ...one.check, notes: CHECK_NOTES } })),
  };
  const alike = { ...service, meta: unmarked(service.meta) };
  return (
    isSameService(alike, seen) &&
    checks.every(({ check }) => {
      const one = rowOf(check.id, seen);
      return one !== undefined && sameCheck(check, one.check);
    }) &&
    superfluousChecks({ service, checks }, { row, checks: rows }).length === 0
  );
}

function unmarked(meta: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...meta].filter(([key]) => !OWN_META.test(key)));
}

/** A proxy that stands beside its instance. */
export function isSidecar({ row }: SeenInstance): boolean {
  return row.kind === 'connect-proxy';
}

/** Where a wished instance stands, or should. */
export function placeOf({ node, service }: WishedInstance): Place {
  return { node: node.node, id: service.id };
}

/** The check of this id, as it stands with the instance. */
export function rowOf(id: CheckId, seen: SeenInstance | undefined): CheckRow | undefined {
  return seen?.checks.find(row => foldId(row.id) === id);
}

/** Ours by its notes, and wished no more. The one of a drain is no part of what is declared. */
export function superfluousChecks(
  { checks, service }: Standing,
  seen: SeenInstance | undefined,
): readonly CheckRow[] {
  const kept = new Set<string>(checks.map(({ check }) => check.id)).add(drainingId(service.id));
  return (seen?.checks ?? []).filter(
    ({ id, check }) => check.notes === CHECK_NOTES && !kept.has(foldId(id)) && isWritable(id),
  );
}

/** Whoever copies our notes to a check with an id that we would not write keeps it. */
function isWritable(id: string): boolean {
  try {
    parseCheckId(foldId(id));
    return true;
  } catch {
    return false;
  }
}

export function drainingId(serviceId: ServiceId): CheckId {
  return checkIdOf(serviceId, OWN_CHECKS.draining);
}
