import { randomBytes } from 'node:crypto';
import type { WriteGate } from '../commit/write-gate.ts';
import type { ConsulReads } from '../consul/client.ts';
import { NOT_THERE } from '../consul/types.ts';
import { ConflictError, RetryableError, TerminalError } from '../core/errors.ts';

const KEY_BYTES = 32;

export interface PrivateKeyOptions {
  readonly consul: ConsulReads;
  readonly gate: WriteGate;
  readonly installId: string;
  readonly signal: AbortSignal;
  /** Used when Consul holds none, so that a rebuilt Consul gets back the key it lost. */
  readonly known: Buffer | undefined;
}

/**
 * The install's own key for fingerprints, from `proconsul-private/<install>`; made on first use. In a dry run one
 * that is not there is made up for this process alone.
 *
 * @throws RetryableError when the token hides it: a second key would make every record look like drift.
 * @throws TerminalError when something else stands there.
 */
export async function ensurePrivateKey(options: PrivateKeyOptions): Promise<Buffer> {
  const { consul, gate, installId, signal } = options;
  const path = `proconsul-private/${installId}`;
  const stored = await consul.kv.get(path, { signal, consistency: 'consistent' });
  if (stored.value !== undefined) return decode(stored.value.value, path);
  if (stored.filteredByAcl) throw hidden(path, 'read');
  const key = options.known ?? randomBytes(KEY_BYTES);
  const value = Buffer.from(key.toString('base64'));
  const operation = { realm: 'record', verb: 'cas', key: path, value, flags: 0n, index: NOT_THERE } as const;
  const owner = { kind: 'Install', namespace: '', name: installId };
  try {
    const outcome = await gate.commit({ owner, operations: [operation] });
    if (outcome.kind === 'applied') return key;
    if (outcome.kind === 'denied') throw hidden(path, 'write');
  } catch (error) {
    if (error instanceof TerminalError && error.reason === 'DryRun') return key;
    throw error;
  }
  throw new ConflictError(`${path} was written by another process just now`, {
    code: 'PRIVATE_KEY_RACE',
    reason: 'Progressing',
  });
}

function decode(value: Buffer, path: string): Buffer {
  const key = Buffer.from(value.toString(), 'base64');
  if (key.length === KEY_BYTES) return key;
  throw new TerminalError(
    `${path} holds something else than the key of this install: remove it to have a new one made`,
    {
      code: 'PRIVATE_KEY_DAMAGED',
      reason: 'InvalidSpec',
    },
  );
}

function hidden(path: string, right: 'read' | 'write'): RetryableError {
  return new RetryableError(
    `the ACL token may not ${right} ${path}: add key_prefix "proconsul-private/" { policy = "write" }`,
    {
      code: 'CONSUL_DENIED',
      reason: 'ConsulDenied',
    },
  );
}
