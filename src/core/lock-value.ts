/**
 * What stands at the key of a lock, so that any language can read who leads, since when, and with which token:
 *
 *   {"holder": "orders-7d4b9", "uid": "0d5f…", "fencingToken": "4711", "acquiredTime": "2026-01-01T00:00:00Z"}
 *
 * The flags of the key tell it from the locks of others and from plain data.
 */
import { parseJson } from './json.ts';

/** `procon` in ASCII: within 53 bits, so that every JSON reader gets it unrounded. */
export const LOCK_FLAGS = 0x70726f636f6en;

/** The flags of Go's `api.Lock` and of `consul lock` (`LockFlagValue` in `api/lock.go`). */
export const GO_LOCK_FLAGS = 0x2ddccbc058a50c18n;

/** The flags of Go's `api.Semaphore` (`SemaphoreFlagValue` in `api/semaphore.go`). */
export const GO_SEMAPHORE_FLAGS = 0xe0f69a2baa414de0n;

/** More than this at a key is no lock of ours: written by nobody, read by nobody. */
export const MAX_LOCK_VALUE_BYTES = 16_384;

/** Of a holder, a uid and a time. */
export const MAX_LOCK_TEXT_CHARS = 1024;

export interface LockContent {
  /** Who leads, in words for people: a Pod's name, a host and process. */
  readonly holder: string;
  /** Tells apart holders of one name: a Pod's uid, or anything else that is drawn once a life. */
  readonly uid: string;
  /** What else the holder wants to be known: further members of the JSON object. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface LockValue extends LockContent {
  /** Grows with every tenure: what a guarded system compares. Digits in JSON, where numbers lose theirs. */
  readonly fencingToken: bigint;
  /** RFC 3339. */
  readonly acquiredTime: string;
}

/** @throws TypeError for what `parseLockValue` would not take back. */
export function encodeLockValue({ extra, fencingToken, ...value }: LockValue): Buffer {
  const { holder, uid, acquiredTime } = value;
  const members = { ...extra, holder, uid, fencingToken: fencingToken.toString(), acquiredTime };
  const bytes = Buffer.from(JSON.stringify(members));
  if (parseLockValue(bytes) === undefined)
    throw new TypeError(`not the value of a lock: ${problemOf(value)}`);
  return bytes;
}

/** Undefined for anything but what `encodeLockValue` writes, give or take further members. Never throws. */
export function parseLockValue(bytes: Buffer): LockValue | undefined {
  if (bytes.length === 0 || bytes.length > MAX_LOCK_VALUE_BYTES) return undefined;
  const members = parsedObject(bytes.toString('utf8'));
  if (members === undefined) return undefined;
  const { holder, uid, fencingToken, acquiredTime, ...extra } = members;
  if (!isText(holder) || !isText(uid) || !isText(acquiredTime)) return undefined;
  const token = parseToken(fencingToken);
  if (token === undefined) return undefined;
  return {
    holder,
    uid,
    fencingToken: token,
    acquiredTime,
    ...(Object.keys(extra).length > 0 && { extra }),
  };
}

/**
 * What guarded systems can keep as a signed integer of 64 bits. Tokens start from Raft indexes and grow by one a tenure:
 * nothing but a hand that wrote one at the key comes near to it.
 */
const MAX_TOKEN = 2n ** 63n - 1n;

const DIGITS = /^(?:0|[1-9]\d{0,18})$/;

function parseToken(text: unknown): bigint | undefined {
  if (typeof text !== 'string' || !DIGITS.test(text)) return undefined;
  const token = BigInt(text);
  return token <= MAX_TOKEN ? token : undefined;
}

/**
 * What a key is used for, in words for the user, if that is anything but a lock of ours; undefined when we may lock it.
 *
 * Ours are keys with our flags; and keys without any that are empty, or hold a lock's value: so an admin leaves them
 * who releases a lock by hand.
 */
export function foreignUse({
  flags,
  value,
}: {
  readonly flags: bigint;
  readonly value: Buffer;
}): string | undefined {
  if (flags === LOCK_FLAGS) return undefined;
  if (flags === GO_LOCK_FLAGS) return "a lock of Go's api.Lock or `consul lock`";
  if (flags === GO_SEMAPHORE_FLAGS) return "a semaphore of Go's api.Semaphore or `consul lock -n`";
  if (flags !== 0n) return `data with flags ${flags} of another program`;
  return value.length === 0 || parseLockValue(value) !== undefined ? undefined : 'data';
}

/**
 * The token of the next tenure: above all that were seen, and not below `index`, Consul's own at the reading that the
 * lock will be conditional on. So it grows over deleted keys, restored and rebuilt Consuls, as far as any of the
 * earlier tokens can still be read somewhere. One that has no successor was no tenure's, and does not count: it would
 * close the lock for ever.
 */
export function nextFencingToken(seen: readonly bigint[], index: number): bigint {
  const least = seen.filter(token => token < MAX_TOKEN).map(token => token + 1n);
  return [BigInt(index), ...least].reduce((one, other) => (one > other ? one : other), 1n);
}

function parsedObject(text: string): Record<string, unknown> | undefined {
  try {
    const parsed = parseJson(text);
    const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
    return isObject ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_LOCK_TEXT_CHARS;
}

function problemOf({ holder, uid, acquiredTime }: Omit<LockValue, 'extra' | 'fencingToken'>): string {
  const wrong = Object.entries({ holder, uid, acquiredTime }).find(([, text]) => !isText(text));
  return wrong === undefined
    ? `over ${MAX_LOCK_VALUE_BYTES} bytes, or a token that is not within 0 to ${MAX_TOKEN}`
    : `its ${wrong[0]} has to be a text of 1 to ${MAX_LOCK_TEXT_CHARS} characters`;
}
