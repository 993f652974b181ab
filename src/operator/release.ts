import { randomUUID } from 'node:crypto';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { FINALIZER } from '../api/v1alpha1/common.ts';
import { GroupCommit } from '../commit/group-commit.ts';
import { WriteGate } from '../commit/write-gate.ts';
import type { Config } from '../config/config.ts';
import type { NamespaceScope } from '../config/values.ts';
import { createConsulClient } from '../consul/client.ts';
import { NOT_THERE } from '../consul/types.ts';
import type { Clock, Random } from '../core/clock.ts';
import { AbortedError, ConflictError, RetryableError } from '../core/errors.ts';
import { describeResource } from '../core/resource.ts';
import {
  collectionPath,
  type KubeClient,
  type KubeObject,
  kubeStatus,
  objectPath,
  removeFinalizer,
  type ResourceType,
} from '../kube/index.ts';
import { guardedClient } from './guarded-client.ts';
import { asTenure } from './lead.ts';
import { Ledger } from '../ownership/ledger.ts';
import { LedgerSync } from '../ownership/ledger-sync.ts';
import { encodeHead, type OwnerRecord, shardKey } from '../ownership/record.ts';
import type { Logger } from '../telemetry/logger.ts';
import { consulOptions } from './consul-options.ts';
import type { Candidate, Leadership } from '../election/index.ts';
import { SERVED_KINDS } from './kinds.ts';
import { createOwnCandidate, type InstallIdentity } from './own-election.ts';

const HINT_MS = 3_000;
/** For the elections in between. */
const SLACK_MS = 15_000;
const ROUNDS = 5;
const PAGE = 500;
const AT_ONCE = 16;

export interface ReleaseOptions {
  readonly config: Config;
  readonly client: KubeClient;
  readonly installId: string;
  readonly install: InstallIdentity;
  /** Pod or host name. */
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Lets go of everything: every owner record says Retain, then every finalizer of ours is taken off. Afterwards
 * resources, namespaces and the CRDs can be deleted without an operator, and Consul stays as it is. Records first:
 * should this stop half-way, a resource without a finalizer never has a record that says Delete.
 *
 * Done while holding the lock of the install's leader, as an operator that runs would take everything up again.
 *
 * @throws ConflictError `RELEASE_CONTENDED` when an operator leads and does not stop.
 * @throws RetryableError when Consul or the API server cannot be reached: nothing is half done that a second call
 *   would not finish.
 */
export async function releaseInstall(options: ReleaseOptions): Promise<void> {
  const { config, client, clock, logger } = options;
  const { signal, abort } = abortable();
  const consul = createConsulClient({ ...consulOptions(config), clock });
  const identity = `${options.instance}_release_${randomUUID()}`;
  const candidate = createOwnCandidate({ ...options, consul, identity, signal });
  try {
    const leadership = await lead(candidate, options);
    const records = await retainRecords({ ...options, consul, signal: leadership.signal, leadership });
    // An operator that leads again by now has put finalizers back, and means them.
    const guarded = guardedClient(client, () => {
      leadership.assertHeld();
      return leadership.signal;
    });
    const collections = collectionsOf(SERVED_KINDS, config.namespaces);
    const finalizers = await dropFinalizers(guarded, collections, leadership.signal);
    leadership.assertHeld();
    logger.info({ count: records }, 'owner records say Retain');
    logger.info({ count: finalizers }, 'finalizers were taken off');
  } catch (error) {
    throw error instanceof AbortedError ? leadLost(error) : error;
  } finally {
    await candidate.resign();
    abort();
    await consul.close();
    await client.close();
  }
}

function leadLost(cause: AbortedError): ConflictError {
  return new ConflictError(
    `the lead was lost before all was released (${cause.message}): stop every operator of this install, and release again`,
    { code: 'RELEASE_CONTENDED', reason: 'Progressing', cause },
  );
}

/** Waits for one that was killed to lose the lead, and not for one that runs. */
async function lead(candidate: Candidate, { config, clock, logger }: ReleaseOptions): Promise<Leadership> {
  const { ttlSeconds, lockDelaySeconds } = config.lease;
  const enough = new AbortController();
  const cancelHint = clock.after(HINT_MS, () =>
    logger.warn(
      { holder: candidate.holder?.holder },
      'waiting for the lead: an operator of this install should be stopped',
    ),
  );
  const cancel = clock.after((2 * ttlSeconds + lockDelaySeconds) * 1000 + SLACK_MS, () => enough.abort());
  try {
    return await candidate.campaign(enough.signal);
  } catch (error) {
    if (!(error instanceof AbortedError) || !enough.signal.aborted) throw error;
    const holder = candidate.holder?.holder;
    throw new ConflictError(
      holder === undefined
        ? 'the lead of this install is not to be had: is Consul reachable, and every operator stopped?'
        : `${holder} still leads this install: stop the operator first`,
      { code: 'RELEASE_CONTENDED', reason: 'Progressing' },
    );
  } finally {
    cancelHint();
    cancel();
  }
}

function abortable(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

interface RetainOptions extends ReleaseOptions {
  readonly consul: ReturnType<typeof createConsulClient>;
  readonly signal: AbortSignal;
  readonly leadership: Leadership;
}

async function retainRecords({
  config,
  consul,
  installId,
  clock,
  logger,
  random,
  signal,
  leadership,
}: RetainOptions): Promise<number> {
  const ledger = new Ledger();
  const commits = new GroupCommit({
    txn: consul.txn,
    clock,
    othersRunnable: () => false,
    context: () => ROOT_CONTEXT,
    inSpan: (_turns, _operations, run) => run(),
  });
  // Epochs stay as they are: nothing is applied.
  const tenure = asTenure(leadership, 0);
  const gate = new WriteGate({ installId, dryRun: config.dryRun, commits, tenure: () => tenure });
  const ignore = (): void => {};
  const sync = new LedgerSync({
    consul,
    ledger,
    installId,
    clock,
    random,
    logger,
    signal,
    highestIndex: () => 0,
    onIndexFell: async () => {},
    onTampered: ignore,
  });
  await sync.load();
  const deleting = [...ledger.records()].filter(({ head }) => head.onDelete === 'Delete');
  await inParallel(deleting, record => retainRecord(record, gate, sync, installId));
  return deleting.length;
}

async function retainRecord(
  found: OwnerRecord,
  gate: WriteGate,
  sync: LedgerSync,
  installId: string,
): Promise<void> {
  let record: OwnerRecord | undefined = found;
  for (let round = 0; round < ROUNDS; round++) {
    if (record === undefined || record.head.onDelete === 'Retain') return;
    const { index, names } = record.shards.get(0) ?? { index: NOT_THERE, names: new Map<string, string>() };
    const value = encodeHead({ ...record.head, onDelete: 'Retain' }, names);
    const key = shardKey(installId, record.ref, 0);
    const operation = { realm: 'record', verb: 'cas', key, value, flags: 0n, index } as const;
    const outcome = await gate.commit({ owner: record.ref, operations: [operation] });
    if (outcome.kind === 'applied') return;
    if (outcome.kind === 'denied') throw deniedFor(record, outcome.operations[0]?.what ?? '');
    record = await sync.refreshRecord(record.ref);
  }
  throw keepsChanging(`the record of ${describeResource(found.ref)}`);
}

function keepsChanging(what: string): ConflictError {
  return new ConflictError(`${what} keeps changing: stop the operator first`, {
    code: 'RELEASE_CONTENDED',
    reason: 'Progressing',
  });
}

function deniedFor({ ref }: OwnerRecord, what: string): RetryableError {
  return new RetryableError(`${describeResource(ref)}: ${what}`, {
    code: 'CONSUL_DENIED',
    reason: 'ConsulDenied',
  });
}

interface Collection {
  readonly type: ResourceType;
  /** Undefined: those of the whole cluster. */
  readonly namespace: string | undefined;
}

/** Only where this install applies resources: those elsewhere may be held by another install in the same cluster. */
function collectionsOf(types: readonly ResourceType[], scope: NamespaceScope): Collection[] {
  const namespaces = scope === 'all' ? [undefined] : scope;
  return types.flatMap(type => namespaces.map(namespace => ({ type, namespace })));
}

async function dropFinalizers(
  client: KubeClient,
  collections: readonly Collection[],
  signal: AbortSignal,
): Promise<number> {
  let dropped = 0;
  for (const collection of collections) {
    const { type } = collection;
    for await (const page of pages(client, collection, signal)) {
      const held = page.filter(({ metadata }) => metadata.finalizers?.includes(FINALIZER));
      await inParallel(held, object => dropFinalizer(client, type, object, signal));
      dropped += held.length;
    }
  }
  return dropped;
}

async function dropFinalizer(
  client: KubeClient,
  type: ResourceType,
  found: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  let object: KubeObject | undefined = found;
  for (let round = 0; object !== undefined && round < ROUNDS; round++) {
    try {
      await removeFinalizer({ client, type, object, finalizer: FINALIZER, signal });
      return;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      object = await getAgain(client, type, object, signal);
    }
  }
  if (object !== undefined)
    throw keepsChanging(`${type.kind} ${found.metadata.namespace}/${found.metadata.name}`);
}

async function getAgain(
  client: KubeClient,
  type: ResourceType,
  { metadata }: KubeObject,
  signal: AbortSignal,
): Promise<KubeObject | undefined> {
  try {
    return await client.request<KubeObject>({ method: 'GET', path: objectPath(type, metadata), signal });
  } catch (error) {
    if (kubeStatus(error) === 404) return undefined;
    throw error;
  }
}

async function* pages(
  client: KubeClient,
  { type, namespace }: Collection,
  signal: AbortSignal,
): AsyncGenerator<readonly KubeObject[]> {
  let after: string | undefined;
  do {
    const query = { limit: PAGE, continue: after };
    let list: {
      readonly metadata: { readonly continue?: string };
      readonly items: readonly KubeObject[] | null;
    };
    try {
      list = await client.request({ method: 'GET', path: collectionPath(type, namespace), query, signal });
    } catch (error) {
      // Without the CRD there is nothing to take a finalizer off.
      if (kubeStatus(error) === 404) return;
      throw error;
    }
    yield list.items ?? [];
    after = list.metadata.continue || undefined;
  } while (after !== undefined);
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
