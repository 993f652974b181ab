import { unprintableIn } from './printable.ts';

/**
 * What a key in Consul's key/value store may look like. `/v1/txn` stores anything, while `/v1/kv` cleans paths
 * (CVE-2025-11392): a key that the two would treat differently could be written and never read or deleted
 * again. So only keys that mean the same to both are ever sent.
 */
export const MAX_KEY_BYTES = 512;

/** Prefixes that belong to operators: owner records and private keys. */
export const RESERVED_PREFIXES: readonly string[] = ['proconsul/', 'proconsul-private/'];

/**
 * Why `key` must not be written, in words for the user, or undefined when it may be.
 * The same rules stand in the CRD as CEL; this one is asked again before every write.
 */
export function keyProblem(key: string): string | undefined {
  const reserved = RESERVED_PREFIXES.find(prefix => `${key}/`.startsWith(prefix));
  const problem = pathProblem(key);
  if (problem !== undefined || reserved === undefined) return problem;
  return `is under ${reserved}, which belongs to the operator`;
}

/** Why a key could not be addressed safely, whoever it belongs to. */
export function pathProblem(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return `is longer than ${MAX_KEY_BYTES} bytes`;
  const unprintable = unprintableIn(key);
  // Consul's `/v1/kv` answers 400 to it, `/v1/txn` stores it.
  if (unprintable !== undefined) return `has the character ${unprintable}, which is not printable`;
  if (key.includes('%')) return 'has a %';
  if (key.startsWith('/')) return 'starts with /';
  if (key.endsWith('/')) return 'ends in /';
  if (key.trim() !== key) return 'has a space at an edge';
  for (const segment of key.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (segment === '.' || segment === '..') return `has the segment ${segment}`;
  }
  return undefined;
}

/** The same for the prefix of a tree: a key's rules, with one `/` at its end. */
export function prefixProblem(prefix: string): string | undefined {
  if (!prefix.endsWith('/')) return 'does not end in /';
  return keyProblem(prefix.slice(0, -1));
}
