import { escapeUnprintable } from './printable.ts';

/**
 * What a resource can own of Consul's intentions: one source of a destination's `service-intentions` entry, or the
 * JWT requirement of the entry itself. Owner records list claims by name:
 *
 * ```
 * /intention/<destination>/source/<peer, or nothing>/<source>
 * /intention/<destination>/jwt
 * ```
 *
 * No key of the key/value store and no exclusive prefix starts with `/`, so no claim is ever taken for a key.
 */
export type IntentionClaim =
  | {
      readonly kind: 'source';
      readonly destination: string;
      /** Empty: a service of Consul's own cluster. */
      readonly peer: string;
      readonly source: string;
    }
  | { readonly kind: 'jwt'; readonly destination: string };

const ROOT = '/intention/';

/** With what the names of all claims on one destination, and of no other, start. */
export function claimPrefix(destination: string): string {
  return `${ROOT}${encodeURIComponent(destination)}/`;
}

/** @throws URIError for half a surrogate pair, of which neither JSON of Consul nor a resource can be made. */
export function claimName(claim: IntentionClaim): string {
  const prefix = claimPrefix(claim.destination);
  if (claim.kind === 'jwt') return `${prefix}jwt`;
  return `${prefix}source/${encodeURIComponent(claim.peer)}/${encodeURIComponent(claim.source)}`;
}

/** The claim of which `claimName` makes exactly this name; undefined: none has it. */
export function parseClaimName(name: string): IntentionClaim | undefined {
  const claim = decodeClaim(name);
  return claim !== undefined && claimName(claim) === name ? claim : undefined;
}

function decodeClaim(name: string): IntentionClaim | undefined {
  if (!name.startsWith(ROOT)) return undefined;
  const [destination, what, peer, source] = name.slice(ROOT.length).split('/').map(decodePart);
  if (!destination) return undefined;
  if (what === 'jwt' && peer === undefined) return { kind: 'jwt', destination };
  if (what !== 'source' || peer === undefined || !source) return undefined;
  return { kind: 'source', destination, peer, source };
}

function decodePart(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** How a claim is named to users, beside its destination: `web`, `web of peer dc3`, `jwt`. */
export function describeClaim(name: string): string {
  const claim = parseClaimName(name);
  if (claim === undefined) return escapeUnprintable(name);
  if (claim.kind === 'jwt') return 'jwt';
  return escapeUnprintable(claim.peer === '' ? claim.source : `${claim.source} of peer ${claim.peer}`);
}

/**
 * What an owner record says of a claim. An entry cannot be written in the transaction that moves the record, so a
 * change announces itself before the entry is written: whatever a crash leaves behind is told from what others wrote.
 *
 * | state    | in the record        | what stands in Consul is ours          |
 * |----------|----------------------|----------------------------------------|
 * | claimed  | nothing, or `~<fp>`  | if it has this very fingerprint        |
 * | changing | `!`                  | yes, and old or new: never called drift |
 * | settled  | `<fp>`               | yes                                    |
 */
export type ClaimState =
  | { readonly kind: 'claimed'; readonly intended: string | undefined }
  | { readonly kind: 'changing' }
  | { readonly kind: 'settled'; readonly fingerprint: string };

/** Owned, and about to be replaced or removed. */
export const CHANGING = '!';

/** Fingerprints are base64url, so none starts with it. */
const CLAIMED = '~';

/** Claimed, and about to be written with this fingerprint for the first time. */
export function markClaimed(fingerprint: string): string {
  return `${CLAIMED}${fingerprint}`;
}

export function readClaimState(recorded: string): ClaimState {
  if (recorded === '') return { kind: 'claimed', intended: undefined };
  if (recorded.startsWith(CLAIMED)) return { kind: 'claimed', intended: recorded.slice(CLAIMED.length) };
  return recorded === CHANGING ? { kind: 'changing' } : { kind: 'settled', fingerprint: recorded };
}
