import { catalogProblem } from './catalog-rules.ts';
import {
  type CatalogWrite,
  CLAIMS_KEY,
  type KeyOperation,
  placeOf,
  type UnitOutcome,
  type WriteOperation,
  type WriteUnit,
} from './operations.ts';
import type { GroupCommit } from './group-commit.ts';
import { dryRun, heldTenure } from './held-tenure.ts';
import type { Tenure } from './tenure.ts';
import { servicePlace } from '../consul/service-ids.ts';
import { NOT_THERE } from '../consul/types.ts';
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
   * @throws TypeError for an operation that no caller may make: see `encodeOperation`, and the rules below.
   * @throws TerminalError `InvalidSpec` for a key or a node that must not be written, `NotAllowed` by tenancy, `DryRun`.
   * @throws AbortedError when this process does not lead (any more).
   * @throws RetryableError when Consul did not answer or not well; see `outcomeUnknown`.
   */
  async commit(unit: WriteUnit): Promise<UnitOutcome> {
    for (const operation of unit.operations) {
      if (operation.realm === 'catalog') this.#assertMayRegister(unit, operation);
      else this.#assertMayWrite(unit, operation);
    }
    assertLocksAreChecked(unit);
    assertChecksStandBehindServices(unit);
    if (this.#options.dryRun) throw dryRun(summarize(unit));
    return this.#options.commits.submit(unit, heldTenure(this.#options.tenure));
  }

  #assertMayRegister({ owner }: WriteUnit, operation: CatalogWrite): void {
    const problem = catalogProblem(this.#options.installId, operation);
    if (problem === undefined) return;
    throw new TerminalError(`${describeResource(owner)}: ${problem}`, {
      code: 'NODE_NOT_OURS',
      reason: 'InvalidSpec',
    });
  }

  #assertMayWrite(unit: WriteUnit, { key, realm }: KeyOperation): void {
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
  for (const [position, operation] of operations.entries()) {
    if (operation.verb !== 'lock' && operation.verb !== 'unlock') continue;
    const before = operations[position - 1];
    const isChecked = before?.verb === 'check-index' || before?.verb === 'check-not-exists';
    if (!isChecked || before.key !== operation.key)
      throw new TypeError(`a ${operation.verb} of a key that is not checked`);
  }
}

/**
 * Consul drops a new check whose service is absent, and says that the transaction was applied.
 * @throws TypeError, for it is a defect: a check would be believed that is not there.
 */
function assertChecksStandBehindServices({ operations }: WriteUnit): void {
  const services = new Set<string>();
  for (const operation of operations) {
    if (operation.verb === 'service-cas' || operation.verb === 'service-get')
      services.add(placeOf(operation));
    if (operation.verb === 'service-delete-cas') services.delete(placeOf(operation));
    if (operation.verb !== 'check-cas' || operation.index !== NOT_THERE) continue;
    if (!services.has(servicePlace(operation.node, operation.check.serviceId)))
      throw new TypeError('a new check without its service');
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

function isShown({ realm }: WriteOperation): boolean {
  return realm === 'data' || realm === 'catalog';
}

/** The data keys of a unit, and the rows of the catalog, for the message of a dry run: names only, never values. */
function summarize({ operations }: WriteUnit): string {
  const named = (verb: WriteOperation['verb']): string[] =>
    operations.filter(operation => isShown(operation) && operation.verb === verb).map(placeOf);
  const say = (what: string, keys: readonly string[]): string[] =>
    keys.length === 0 ? [] : [`${what} ${keys.slice(0, 10).join(', ')}${keys.length > 10 ? ', …' : ''}`];
  const parts = [
    ...say('write', named('cas')),
    ...say('lock', named('lock')),
    ...say('unlock', named('unlock')),
    ...say('delete', named('delete-cas')),
    ...say('register', named('service-cas')),
    ...say('deregister', named('service-delete-cas')),
    ...say('set', named('check-cas')),
    ...say('remove', named('check-delete-cas')),
  ];
  return parts.length === 0 ? 'update the owner record' : parts.join('; ');
}
