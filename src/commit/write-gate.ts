import { CLAIMS_KEY, type UnitOutcome, type WriteOperation, type WriteUnit } from './operations.ts';
import type { GroupCommit } from './group-commit.ts';
import { dryRun, heldTenure } from './held-tenure.ts';
import type { Tenure } from './tenure.ts';
import { TerminalError } from '../core/errors.ts';
import { keyProblem, pathProblem } from '../core/keys.ts';
import { isDefaultSlotKey } from '../core/lease-keys.ts';
import { describeResource } from '../core/resource.ts';

/** Whether a namespace may write a key. The place that ConsulTenancy fills; until then all is granted. */
export type Tenancy = (namespace: string, key: string) => string | undefined;

export interface WriteGateOptions {
  readonly installId: string;
  readonly dryRun: boolean;
  readonly commits: GroupCommit;
  /** The tenure this process holds now, if it leads. */
  readonly tenure: () => Tenure | undefined;
  readonly tenancy?: Tenancy;
}

/**
 * The one way from this process into Consul. It knows who leads, what a key may look like, which namespace may
 * write what, and whether this is a dry run; nothing else in the operator can write.
 */
export class WriteGate {
  readonly #options: WriteGateOptions;

  constructor(options: WriteGateOptions) {
    this.#options = options;
  }

  /** The epoch that records written now carry; 0 in a dry run, which writes none. @throws AbortedError when this process does not lead. */
  get epoch(): number {
    return this.#options.dryRun ? 0 : heldTenure(this.#options.tenure).epoch;
  }

  /** Nothing will be committed: what a transaction would find out has to be looked up. */
  get isDryRun(): boolean {
    return this.#options.dryRun;
  }

  /**
   * Commits one unit, together with those of concurrent turns.
   *
   * @throws TerminalError `InvalidSpec` for a key that must not be written, `NotAllowed` by tenancy, `DryRun`.
   * @throws AbortedError when this process does not lead (any more).
   * @throws RetryableError when Consul did not answer or not well; see `outcomeUnknown`.
   */
  async commit(unit: WriteUnit): Promise<UnitOutcome> {
    for (const operation of unit.operations) this.#assertMayWrite(unit, operation);
    assertLocksAreChecked(unit);
    if (this.#options.dryRun) throw dryRun(summarize(unit));
    return this.#options.commits.submit(unit, heldTenure(this.#options.tenure));
  }

  #assertMayWrite(unit: WriteUnit, { key, realm }: WriteOperation): void {
    const who = describeResource(unit.owner);
    if (realm === 'record') {
      if (isOwnRecord(key, this.#options.installId)) return;
      throw new TerminalError(`${who}: ${key} is not a record of this install`, {
        code: 'KEY_NOT_OURS',
        reason: 'InvalidSpec',
      });
    }
    if (isDefaultSlotKey(this.#options.installId, unit.owner, key)) return;
    const problem = keyProblem(key);
    if (problem !== undefined) {
      throw new TerminalError(`${who}: key ${JSON.stringify(key)} ${problem}`, {
        code: 'KEY_INVALID',
        reason: 'InvalidSpec',
      });
    }
    const forbidden = this.#options.tenancy?.(unit.owner.namespace, key);
    if (forbidden !== undefined) {
      throw new TerminalError(`${who}: ${forbidden}`, { code: 'KEY_NOT_ALLOWED', reason: 'NotAllowed' });
    }
  }
}

/** @throws TypeError, for it is a defect: a lock would be taken, or given up, whatever stood there. */
function assertLocksAreChecked({ operations }: WriteUnit): void {
  for (const [position, { verb, key }] of operations.entries()) {
    if (verb !== 'lock' && verb !== 'unlock') continue;
    const before = operations[position - 1];
    const isChecked = before?.verb === 'check-index' || before?.verb === 'check-not-exists';
    if (!isChecked || before.key !== key) throw new TypeError(`a ${verb} of a key that is not checked`);
  }
}

function isOwnRecord(key: string, installId: string): boolean {
  if (pathProblem(key) !== undefined) return false;
  return (
    key === CLAIMS_KEY ||
    key === `proconsul-private/${installId}` ||
    key.startsWith(`proconsul/${installId}/`)
  );
}

/** The data keys of a unit, for the message of a dry run: names only, never values. */
function summarize({ operations }: WriteUnit): string {
  const named = (verb: WriteOperation['verb']): string[] =>
    operations
      .filter(operation => operation.realm === 'data' && operation.verb === verb)
      .map(({ key }) => key);
  const say = (what: string, keys: readonly string[]): string[] =>
    keys.length === 0 ? [] : [`${what} ${keys.slice(0, 10).join(', ')}${keys.length > 10 ? ', …' : ''}`];
  const parts = [
    ...say('write', named('cas')),
    ...say('lock', named('lock')),
    ...say('unlock', named('unlock')),
    ...say('delete', named('delete-cas')),
  ];
  return parts.length === 0 ? 'update the owner record' : parts.join('; ');
}
