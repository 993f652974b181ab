import type { CatalogWrite } from '../../commit/operations.ts';
import type { CheckRow } from '../../consul/nodes.ts';
import { fitsTransaction } from '../../consul/registration.ts';
import { parseNodeName, parseServiceId } from '../../consul/service-ids.ts';
import { instanceName, parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import { checkIdOf, OWN_CHECKS, ownCheck } from './checks.ts';
import { drainingId, isKnownKind, isOwned, isSidecar, namesIn, rowOf } from './compare.ts';
import { OWNER_MARK } from './marks.ts';
import { checkRemoval, checkWrite, type Place, presence, removal } from './operations.ts';
import type { DrainMs, InstanceChange, RegisterChange, SeenInstance, ServiceFacts } from './types.ts';

/** How what is not wished any more goes. */
export interface Leaving {
  /** In the meta of what the resource has registered. */
  readonly mark: string;
  readonly drainMs: DrainMs;
  /** It stays, and only the record lets go of it. */
  readonly isRetained: boolean;
}

/** One instance that goes, or is critical from now on, or has been for a while. */
export type Departure =
  | { readonly kind: 'goes' | 'drains'; readonly change: InstanceChange }
  /** It stays, and goes from the record once it does not carry the mark any more: no transaction writes it. */
  | { readonly kind: 'unmarks'; readonly change: RegisterChange }
  | { readonly kind: 'draining'; readonly isSidecar: boolean; readonly leftMs: number };

/** What becomes of all that the record lists and `isWished` does not. */
export function departures(
  facts: ServiceFacts,
  leaving: Leaving,
  isWished: (name: string) => boolean = () => false,
): Departure[] {
  return [...namesIn(facts)]
    .filter(([name]) => !isWished(name))
    .map(([name, recorded]) => depart(name, recorded, facts, leaving));
}

/** What is done about them now. */
export function changesIn(all: readonly Departure[]): InstanceChange[] {
  return all.flatMap(departure =>
    departure.kind === 'goes' || departure.kind === 'drains' ? [departure.change] : [],
  );
}

/** What requests of their own do about them. */
export function registersIn(all: readonly Departure[]): RegisterChange[] {
  return all.flatMap(departure => (departure.kind === 'unmarks' ? [departure.change] : []));
}

/** In how long the next drain is over; undefined: there is none. */
export function nextDrainMs(all: readonly Departure[]): number | undefined {
  const left = all.flatMap(departure => (departure.kind === 'draining' ? [departure.leftMs] : []));
  return left.length === 0 ? undefined : Math.min(...left);
}

/**
 * The drains that begin although nothing may be removed now, of all that the record lists and `isKept` does not: nobody asks after
 * the health of what is not wished.
 */
export function drainsToBegin(
  facts: ServiceFacts,
  leaving: Leaving,
  isKept: (name: string) => boolean,
): InstanceChange[] {
  if (leaving.isRetained) return [];
  return [...namesIn(facts)].flatMap(([name, recorded]) => {
    const stands = isKept(name) ? undefined : leaverAt(name, recorded, facts, leaving);
    if (stands === undefined || facts.node(stands.place.node)?.hasAgent === true) return [];
    const { place, seen } = stands;
    const row = rowOf(drainingId(place.id), seen);
    return row?.status === 'critical' ? [] : [drain(name, drainBegin(place, seen, facts.nowMs))];
  });
}

interface Leaver {
  readonly place: Place;
  readonly seen: SeenInstance;
}

/** What stands there and is the resource's to take out; undefined: nothing. */
function leaverAt(
  name: string,
  recorded: string,
  facts: ServiceFacts,
  { mark }: Pick<Leaving, 'mark'>,
): Leaver | undefined {
  const place = placeOf(name);
  const seen = facts.seen(name);
  const isThere = isOwned(readInstanceState(recorded), seen, mark);
  if (place === undefined || seen === undefined || !isThere || facts.rival(name) !== undefined)
    return undefined;
  return { place, seen };
}

function depart(name: string, recorded: string, facts: ServiceFacts, leaving: Leaving): Departure {
  const stands = leaverAt(name, recorded, facts, leaving);
  if (stands === undefined) return goes(name, []);
  const { place, seen } = stands;
  if (leaving.isRetained) return leave(name, stands, facts);
  const row = rowOf(drainingId(place.id), seen);
  const sinceMs = beganAt(row, facts.nowMs);
  const drainMs = drainOf(place, seen, facts, leaving.drainMs);
  const leftMs = drainMs - (facts.nowMs - (sinceMs ?? facts.nowMs));
  if (leftMs <= 0) return goes(name, [removal(place, seen)]);
  if (sinceMs !== undefined && row?.status === 'critical')
    return { kind: 'draining', isSidecar: isSidecar(seen), leftMs };
  return { kind: 'drains', change: drain(name, drainBegin(place, seen, sinceMs ?? facts.nowMs)) };
}

function drain(name: string, operations: readonly CatalogWrite[]): InstanceChange {
  return { name, cause: 'drain', record: undefined, operations };
}

/** It stays, but for the mark: what carries one that no record lists is taken for something that was lost. */
function leave(name: string, { place, seen }: Leaver, facts: ServiceFacts): Departure {
  const { row } = seen;
  const ends = drainEnd(place, seen);
  const isMarked = row.service.meta.has(OWNER_MARK) && row.service.id === place.id;
  if (!isMarked || !isKnownKind(row) || facts.node(place.node)?.hasAgent === true) return goes(name, ends);
  const meta = new Map([...row.service.meta].filter(([key]) => key !== OWNER_MARK));
  const service = { ...row.service, meta };
  const { node } = place;
  if (fitsTransaction(service)) {
    const write = { realm: 'catalog', verb: 'service-cas', node, service, index: row.modifyIndex } as const;
    return goes(name, [write, ...ends]);
  }
  const change = { name, cause: 'release', node, service, before: row.modifyIndex } as const;
  return { kind: 'unmarks', change };
}

/** Undefined: it is not in the catalog, and nothing there is known under this name. */
function placeOf(name: string): Place | undefined {
  const parsed = parseInstanceName(name);
  if (parsed?.kind !== 'catalog') return undefined;
  return { node: parseNodeName(parsed.node), id: parseServiceId(parsed.id) };
}

function goes(name: string, operations: readonly CatalogWrite[]): Departure {
  return { kind: 'goes', change: { name, cause: 'remove', record: { to: undefined }, operations } };
}

/** That of endpoints, if it has their check; a sidecar goes with the instance that it speaks for. */
function drainOf({ node, id }: Place, seen: SeenInstance, facts: ServiceFacts, drainMs: DrainMs): number {
  const { connect } = seen.row.service;
  const main = connect?.kind === 'proxy' ? connect.destinationId : id;
  return isEndpoint(instanceName({ kind: 'catalog', node, id: main }), facts)
    ? drainMs.kubernetes
    : drainMs.instances;
}

function isEndpoint(name: string, { seen }: ServiceFacts): boolean {
  const place = placeOf(name);
  return place !== undefined && rowOf(checkIdOf(place.id, OWN_CHECKS.readiness), seen(name)) !== undefined;
}

const SINCE = 'draining since ';

/** Undefined: not at all, or at a time that nobody can tell, or that has not come: then the drain begins now. */
function beganAt(row: CheckRow | undefined, nowMs: number): number | undefined {
  if (row === undefined || !row.output.startsWith(SINCE)) return undefined;
  const sinceMs = Date.parse(row.output.slice(SINCE.length));
  return sinceMs <= nowMs ? sinceMs : undefined;
}

function drainBegin(place: Place, seen: SeenInstance, sinceMs: number): CatalogWrite[] {
  const { name } = seen.row.service;
  const check = ownCheck({ id: place.id, name }, 'draining');
  const row = rowOf(check.id, seen);
  const output = `${SINCE}${new Date(sinceMs).toISOString()}`;
  const write = checkWrite(place.node, check, { status: 'critical', output }, row);
  return row === undefined ? [presence(place, name), write] : [write];
}

/** The instance is not critical any more for being about to go. */
export function drainEnd(place: Place, seen: SeenInstance | undefined): CatalogWrite[] {
  const id = drainingId(place.id);
  const row = rowOf(id, seen);
  return row === undefined ? [] : [checkRemoval(place, id, row)];
}
