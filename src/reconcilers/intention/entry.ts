import type { ConfigEntryBody } from '../../consul/config-entry.ts';
import { claimName, parseClaimName } from '../../core/intention-claims.ts';
import { type CanonicalJwt, type CanonicalSource, canonicalStored, canonicalStoredJwt } from './canonical.ts';

export const INTENTIONS = 'service-intentions';

/** What Consul allows in the `Meta` of an entry. */
const MAX_META = 64;

/** The key in an entry's `Meta` that says which tenure of an install last wrote sources of that install. */
export function epochKey(installId: string): string {
  return `${EPOCH_PREFIX}${installId}`;
}

const EPOCH_PREFIX = 'proconsul-';
const EPOCH = /^[0-9]{1,15}$/;

/** A source as it stands, under its claim's name. */
export interface StoredSource {
  readonly canonical: CanonicalSource;
  /** 0: Consul did not say. */
  readonly precedence: number;
  /** It has metadata of the legacy API, which Consul does not take back in an entry. */
  readonly isLegacy: boolean;
}

/** A destination's entry, by the claims that stand in it. */
export interface EntryContents {
  readonly destination: string;
  readonly body: ConfigEntryBody;
  readonly sources: ReadonlyMap<string, StoredSource>;
  /** Undefined: none, or one that demands nothing. */
  readonly jwt: CanonicalJwt | undefined;
  /** The tenures that last wrote to it, by install id. */
  readonly epochs: ReadonlyMap<string, number>;
}

/**
 * Reads an entry as Consul stores it. Sources that no claim can name, such as those of another namespace or of a sameness
 * group (Consul Enterprise), are not among its sources: they only stay as they are.
 */
export function readEntry(destination: string, body: ConfigEntryBody): EntryContents {
  const sources = new Map<string, StoredSource>();
  for (const raw of rawSources(body)) {
    const name = nameOf(destination, raw);
    const canonical = canonicalStored(raw);
    if (name === undefined || canonical === undefined) continue;
    sources.set(name, { canonical, precedence: precedenceOf(raw), isLegacy: isLegacy(raw) });
  }
  return { destination, body, sources, jwt: canonicalStoredJwt(body['JWT']), epochs: epochsIn(body) };
}

/** What stands under a claim's name. */
export function contentOf(
  { destination, sources, jwt }: EntryContents,
  name: string,
): CanonicalSource | CanonicalJwt | undefined {
  return name === claimName({ kind: 'jwt', destination }) ? jwt : sources.get(name)?.canonical;
}

/** The names of all claims that stand in the entry. */
export function claimsIn({ destination, sources, jwt }: EntryContents): string[] {
  return [...sources.keys(), ...(jwt === undefined ? [] : [claimName({ kind: 'jwt', destination })])];
}

export interface EntryMerge {
  readonly destination: string;
  /** By claim name; each one of this destination. */
  readonly put: ReadonlyMap<string, CanonicalSource>;
  /** By claim name. Also that of the JWT requirement. */
  readonly remove: ReadonlySet<string>;
  /** Undefined: as it stands, unless it is removed. */
  readonly jwt: CanonicalJwt | undefined;
  readonly installId: string;
  readonly epoch: number;
  /** Whether anything of this install stands in the entry afterwards. */
  readonly keepsOurs: boolean;
}

/**
 * The entry with these changes and no other: whatever else stands in it is in the result as it is, down to fields that
 * this program does not know.
 *
 * @param body As Consul stores it, without the fields that `consul/config-entry.ts` takes off; undefined: there is none.
 * @returns undefined when no source is left: Consul keeps no entry without one.
 */
export function mergeEntry(
  body: ConfigEntryBody | undefined,
  merge: EntryMerge,
): ConfigEntryBody | undefined {
  const { destination } = merge;
  const Sources = mergeSources(body === undefined ? [] : rawSources(body), merge);
  if (Sources.length === 0) return undefined;
  const { JWT, Meta, ...others }: ConfigEntryBody = body ?? { Kind: INTENTIONS, Name: destination };
  const jwt = merge.jwt ?? (merge.remove.has(claimName({ kind: 'jwt', destination })) ? undefined : JWT);
  const meta = mergeMeta(Meta, merge);
  return {
    ...others,
    Sources,
    ...(jwt === undefined ? {} : { JWT: jwt }),
    ...(meta === undefined ? {} : { Meta: meta }),
  };
}

/** Each stays in its place; what is new comes last. Consul sorts them by precedence. */
function mergeSources(present: readonly unknown[], { destination, put, remove }: EntryMerge): unknown[] {
  const added = new Map<string, unknown>(put);
  const kept: unknown[] = [];
  for (const raw of present) {
    const name = nameOf(destination, raw);
    const replacement = name === undefined ? undefined : put.get(name);
    if (name !== undefined && replacement !== undefined) {
      kept.push(replacement);
      added.delete(name);
    } else if (name === undefined || !remove.has(name)) kept.push(raw);
  }
  return [...kept, ...added.values()];
}

function mergeMeta(present: unknown, { installId, epoch, keepsOurs }: EntryMerge): unknown {
  const others = Object.entries(metaOf(present)).filter(([key]) => key !== epochKey(installId));
  // What others put there goes before the mark, which only speeds up the end of a tenure that is over.
  const own = keepsOurs && others.length < MAX_META ? [[epochKey(installId), String(epoch)] as const] : [];
  return others.length + own.length === 0 ? undefined : Object.fromEntries([...others, ...own]);
}

function rawSources(body: ConfigEntryBody): readonly unknown[] {
  const { Sources } = body;
  return Array.isArray(Sources) ? Sources : [];
}

/** Undefined: not a source that a resource could declare. */
function nameOf(destination: string, raw: unknown): string | undefined {
  const canonical = canonicalStored(raw);
  if (canonical === undefined || isElsewhere(raw as ConfigEntryBody)) return undefined;
  const { Name: source, Peer: peer = '' } = canonical;
  if (!source.isWellFormed() || !peer.isWellFormed()) return undefined;
  const name = claimName({ kind: 'source', destination, peer, source });
  return parseClaimName(name) === undefined ? undefined : name;
}

/** Consul Enterprise names the default namespace and partition, Consul itself none. */
function isElsewhere({ Namespace, Partition, SamenessGroup }: ConfigEntryBody): boolean {
  const isDefault = (name: unknown): boolean => !name || name === 'default';
  return !isDefault(Namespace) || !isDefault(Partition) || !!SamenessGroup;
}

function precedenceOf(raw: unknown): number {
  const { Precedence } = raw as ConfigEntryBody;
  return Number.isSafeInteger(Precedence) ? (Precedence as number) : 0;
}

function isLegacy(raw: unknown): boolean {
  return Object.keys(metaOf((raw as ConfigEntryBody)['LegacyMeta'])).length > 0;
}

function epochsIn(body: ConfigEntryBody): Map<string, number> {
  const epochs = new Map<string, number>();
  for (const [key, epoch] of Object.entries(metaOf(body['Meta']))) {
    if (!key.startsWith(EPOCH_PREFIX) || typeof epoch !== 'string' || !EPOCH.test(epoch)) continue;
    epochs.set(key.slice(EPOCH_PREFIX.length), Number(epoch));
  }
  return epochs;
}

function metaOf(raw: unknown): Readonly<Record<string, unknown>> {
  return typeof raw === 'object' && raw !== null ? (raw as Readonly<Record<string, unknown>>) : {};
}
