import type { ConsulWrites } from '../consul/client.ts';
import { type ConfigEntry, type ConfigEntryBody, SERVICE_INTENTIONS } from '../consul/config-entry.ts';
import { encodeJson } from '../consul/json.ts';
import { MAX_ENTRY_BYTES, NOT_THERE } from '../consul/types.ts';
import { AbortedError, TerminalError } from '../core/errors.ts';
import { describeResource, type ResourceRef } from '../core/resource.ts';
import { dryRun, guarded, heldTenure } from './held-tenure.ts';
import type { Tenure } from './tenure.ts';

export interface IntentionEntriesOptions {
  readonly consul: Pick<ConsulWrites, 'configEntries'>;
  readonly installId: string;
  readonly dryRun: boolean;
  /** The tenure this process holds now, if it leads. */
  readonly tenure: () => Tenure | undefined;
}

export interface IntentionWrite {
  /** What stands there, as the caller believes; undefined: nothing. Its index is compared, its name and size are kept to. */
  readonly before: ConfigEntry | undefined;
  /** All of the entry that shall stand there, with the sources of others. */
  readonly body: ConfigEntryBody;
}

/** Field of `Meta` under which an install leaves its epoch in entries that hold sources of its own. */
export function epochMetaKey(installId: string): string {
  return `proconsul-${installId}`;
}

/**
 * Writes the `service-intentions` entries that ConsulIntentions share with others. No transaction can carry that, so it
 * is done only while leading, which is looked at right before each is sent, and only on what the caller has seen.
 * A late write of a former leader can land on an entry that nobody touched since: it is seen and put right.
 */
export class IntentionEntries {
  readonly #options: IntentionEntriesOptions;
  /** The largest epoch that has ended a tenure of this process. */
  #obeyedEpoch = 0;

  constructor(options: IntentionEntriesOptions) {
    this.#options = options;
  }

  get epochKey(): string {
    return epochMetaKey(this.#options.installId);
  }

  /** The epoch that entries written now carry; 0 in a dry run, which writes none. @throws AbortedError when this process does not lead (any more). */
  get epoch(): number {
    return this.#options.dryRun ? 0 : heldTenure(this.#options.tenure).epoch;
  }

  /**
   * Puts `body` in the place of `before`. Applied says less than it seems (`ConfigEntryWrites.put`): read back.
   *
   * @throws TerminalError `DryRun`; `TooLarge` unless it makes an entry smaller that is too large already.
   * @throws AbortedError when this process does not lead (any more), or the body was made before it led this time.
   * @throws TypeError for a body that is no such entry, or carries an epoch that no tenure of this process had.
   * @throws RetryableError when Consul did not answer or not well, or something else is missing there.
   */
  async put(owner: ResourceRef, { before, body }: IntentionWrite): Promise<{ readonly applied: boolean }> {
    const destination = destinationOf(body, before);
    assertSize(owner, destination, { before, body });
    const tenure = this.#tenureFor(owner, `write ${SERVICE_INTENTIONS}/${destination}`);
    this.#assertEpoch(body, tenure);
    const index = before?.modifyIndex ?? NOT_THERE;
    return await this.#options.consul.configEntries.put(body, index, guarded(tenure));
  }

  /** Takes out the whole entry; applied too when there is none any more. Throws as `put`. */
  async remove(owner: ResourceRef, before: ConfigEntry): Promise<{ readonly applied: boolean }> {
    const { kind, name, modifyIndex } = before;
    if (kind !== SERVICE_INTENTIONS || modifyIndex === NOT_THERE)
      throw new TypeError('not an entry of intentions');
    const tenure = this.#tenureFor(owner, `delete ${SERVICE_INTENTIONS}/${name}`);
    return await this.#options.consul.configEntries.delete({ kind, name }, modifyIndex, guarded(tenure));
  }

  /**
   * To be told of each epoch that an entry carries under our own key. A larger one is of a leader that came after us: it
   * ends our tenure. Whoever may write the entry can write that too, and an epoch that is still larger than that of
   * the tenure which follows was no leader's, for those are counted elsewhere: the same ends no second one.
   *
   * @throws AbortedError when it ended the tenure, or there is none.
   */
  outranked(epochSeen: number): void {
    if (this.#options.dryRun || epochSeen <= this.#obeyedEpoch) return;
    const tenure = heldTenure(this.#options.tenure);
    if (!(epochSeen > tenure.epoch)) return;
    this.#obeyedEpoch = epochSeen;
    tenure.revoke(`an entry of intentions carries the epoch ${epochSeen} of a later leader`);
    throw new AbortedError('a later leader has written intentions');
  }

  #tenureFor(owner: ResourceRef, what: string): Tenure {
    if (this.#options.dryRun) throw dryRun(`${what} for ${describeResource(owner)}`);
    return heldTenure(this.#options.tenure);
  }

  /** Without one it holds no source of ours any more. */
  #assertEpoch(body: ConfigEntryBody, { epoch }: Tenure): void {
    const written = (body['Meta'] as Record<string, unknown> | undefined)?.[this.epochKey];
    if (written === undefined || written === String(epoch)) return;
    if (typeof written === 'string' && /^\d+$/.test(written) && Number(written) < epoch) {
      throw new AbortedError('the entry was made in an earlier tenure');
    }
    throw new TypeError('an entry of intentions under an epoch that is not ours');
  }
}

/** @throws TypeError, for it is a defect: something else than the entry that was seen would be written. */
function destinationOf(body: ConfigEntryBody, before: ConfigEntry | undefined): string {
  const { Kind: kind, Name: name, Sources: sources } = body;
  if (kind !== SERVICE_INTENTIONS || typeof name !== 'string' || name === '') {
    throw new TypeError('not an entry of intentions');
  }
  if (!Array.isArray(sources) || sources.length === 0)
    throw new TypeError('an entry without sources is deleted');
  if (before !== undefined && !isOf(before, name)) {
    throw new TypeError('an entry of intentions in the place of another');
  }
  return name;
}

/** To Consul `Orders` and `orders` are one entry. */
function isOf({ kind, name }: ConfigEntry, destination: string): boolean {
  return kind === SERVICE_INTENTIONS && name.toLowerCase() === destination.toLowerCase();
}

function assertSize(owner: ResourceRef, destination: string, { before, body }: IntentionWrite): void {
  const bytes = sizeOf(body);
  if (bytes <= MAX_ENTRY_BYTES || (before !== undefined && bytes < sizeOf(before.body))) return;
  throw new TerminalError(
    `${describeResource(owner)}: all intentions of ${destination} together would be ${bytes} bytes, over the ${MAX_ENTRY_BYTES} of one write`,
    { code: 'ENTRY_TOO_LARGE', reason: 'TooLarge' },
  );
}

function sizeOf(body: ConfigEntryBody): number {
  return Buffer.byteLength(encodeJson(body));
}
