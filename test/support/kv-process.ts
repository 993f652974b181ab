import { ROOT_CONTEXT } from '@opentelemetry/api';
import { FINALIZER } from '../../src/api/v1alpha1/common.ts';
import { GroupCommit, type TransactionReport } from '../../src/commit/group-commit.ts';
import { createSoleTenure } from './sole-tenure.ts';
import type { Tenure } from '../../src/commit/tenure.ts';
import { WriteGate } from '../../src/commit/write-gate.ts';
import { AbortedError, ConflictError } from '../../src/core/errors.ts';
import type { Logger } from '../../src/core/logger.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../../src/core/resource.ts';
import { Fingerprinter } from '../../src/ownership/fingerprint.ts';
import { Ledger } from '../../src/ownership/ledger.ts';
import { LedgerSync } from '../../src/ownership/ledger-sync.ts';
import { ensurePrivateKey } from '../../src/ownership/private-key.ts';
import { listedNames } from '../../src/ownership/record.ts';
import { ConsulKVKind } from '../../src/reconcilers/kv/index.ts';
import { KeyMirror } from '../../src/mirror/key-mirror.ts';
import { KeyWatcher } from '../../src/mirror/key-watcher.ts';
import type { SourceRef } from '../../src/reconcilers/kv/desire.ts';
import { type SourceCatalog, type SourceObject, SourceReader } from '../../src/reconcilers/kv/sources.ts';
import type { Ending } from '../../src/runtime/ending.ts';
import type { Notice } from '../../src/runtime/notices.ts';
import type { Objects } from '../../src/runtime/objects.ts';
import { createTurn } from '../../src/runtime/turn.ts';
import type { Turn, TurnResult } from '../../src/runtime/workers.ts';
import { FakeClock } from './fake-clock.ts';
import type { ModelConsul } from './model-consul.ts';

/** A ConsulKV, as the API server would hand it out. */
export interface StoredKv {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation: number;
    readonly finalizers?: readonly string[];
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: object;
  readonly status?: object;
}

/** The API server's side, which outlives every process: ConsulKVs, and the sources they refer to. */
export class ModelCluster implements Objects<StoredKv>, SourceCatalog {
  readonly #heard = new Map<string, StoredKv | undefined>();
  readonly resources = new Map<ResourceKey, StoredKv>();
  readonly #sources = new Map<string, SourceObject>();
  readonly notices: Notice[] = [];
  statusWrites = 0;
  finalizerWrites = 0;
  #version = 0;
  #uids = 0;

  /** As `kubectl apply` does: creates, or changes the spec. */
  apply(name: string, spec: object, namespace = 'shop'): ResourceRef {
    const ref = { kind: 'ConsulKV', namespace, name };
    const before = this.resources.get(resourceKey(ref));
    const metadata = before?.metadata ?? { name, namespace, uid: `uid-${++this.#uids}`, generation: 0 };
    const generation = metadata.generation + 1;
    this.#store({
      ...before,
      apiVersion: 'proconsul.dev/v1alpha1',
      kind: 'ConsulKV',
      metadata: { ...metadata, generation, resourceVersion: '' },
      spec,
    });
    return ref;
  }

  /** As `kubectl delete` does: at once when there is no finalizer. */
  delete(ref: ResourceRef): void {
    const { metadata, ...rest } = this.#require(ref);
    if ((metadata.finalizers ?? []).length === 0) this.resources.delete(resourceKey(ref));
    else this.#store({ ...rest, metadata: { ...metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } });
  }

  /** As `kubectl annotate` does: the object moves on and its spec does not. */
  annotate(ref: ResourceRef, annotations: Readonly<Record<string, string>>): void {
    const object = this.#require(ref);
    this.#store({ ...object, metadata: { ...object.metadata, annotations } });
  }

  /** As the process has heard of it: see `hear`. */
  get(ref: ResourceRef): StoredKv | undefined {
    const key = resourceKey(ref);
    return this.#heard.has(key) ? this.#heard.get(key) : this.resources.get(key);
  }

  async lookUp(ref: ResourceRef): Promise<StoredKv | undefined> {
    const key = resourceKey(ref);
    this.#heard.delete(key);
    return this.resources.get(key);
  }

  /** What the watch shows of a resource from now on, whatever it is, until somebody asks the API server itself. */
  hear(ref: ResourceRef, object: StoredKv | undefined): void {
    this.#heard.set(resourceKey(ref), object);
  }

  /** The condition of a type, as `status reason: message`. */
  condition(ref: ResourceRef, type = 'Ready'): string | undefined {
    const { conditions = [] } = (this.get(ref)?.status ?? {}) as { conditions?: Record<string, string>[] };
    const found = conditions.find(condition => condition['type'] === type);
    return found && `${found['status']} ${found['reason']}: ${found['message']}`;
  }

  async writeStatus(object: StoredKv, status: object): Promise<StoredKv> {
    this.#assertUnchanged(object);
    this.statusWrites++;
    return this.#store({ ...object, status });
  }

  async addFinalizer(object: StoredKv): Promise<StoredKv> {
    this.#assertUnchanged(object);
    this.finalizerWrites++;
    return this.#store({ ...object, metadata: { ...object.metadata, finalizers: [FINALIZER] } });
  }

  async removeFinalizer(object: StoredKv): Promise<StoredKv | undefined> {
    this.#assertUnchanged(object);
    this.finalizerWrites++;
    const { finalizers: _dropped, ...metadata } = object.metadata;
    const changed = this.#store({ ...object, metadata });
    if (metadata.deletionTimestamp === undefined) return changed;
    this.resources.delete(resourceKey({ kind: 'ConsulKV', ...metadata }));
    return undefined;
  }

  notify(_object: StoredKv, notice: Notice): void {
    this.notices.push(notice);
  }

  /** A ConfigMap, in the one namespace there is; undefined: it goes. */
  configMap(name: string, data: Readonly<Record<string, string>> | undefined): void {
    const metadata = { resourceVersion: String(++this.#version) };
    if (data === undefined) this.#sources.delete(name);
    else this.#sources.set(name, { metadata, data });
  }

  version(_namespace: string, { name }: SourceRef): { readonly resourceVersion: string } | 'missing' {
    return this.#sources.get(name)?.metadata ?? 'missing';
  }

  fetch(_namespace: string, { name }: SourceRef): Promise<SourceObject | undefined> {
    return Promise.resolve(this.#sources.get(name));
  }

  #require(ref: ResourceRef): StoredKv {
    const object = this.get(ref);
    if (object === undefined) throw new Error(`no ${resourceKey(ref)}`);
    return object;
  }

  #assertUnchanged({ metadata }: StoredKv): void {
    const stored = this.get({ kind: 'ConsulKV', ...metadata });
    if (stored?.metadata.resourceVersion === metadata.resourceVersion) return;
    throw new ConflictError('the object changed since it was read', {
      code: 'KUBE_CONFLICT',
      reason: 'Progressing',
    });
  }

  #store(object: StoredKv): StoredKv {
    const stored = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(++this.#version) },
    };
    this.resources.set(resourceKey({ kind: object.kind, ...object.metadata }), stored);
    return stored;
  }
}

export interface KvProcessOptions {
  readonly consul: ModelConsul;
  readonly cluster: ModelCluster;
  readonly installId?: string;
  readonly dryRun?: boolean;
  readonly tenure?: Tenure;
  /** Default: nothing is done about it. */
  readonly onIndexFell?: () => Promise<void>;
  /** Whether turns that still run could add to a batch; default: never wait for company. */
  readonly othersRunnable?: (waiting: number) => boolean;
}

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * All that a process knows and does about ConsulKVs, put together as in `operator/operator.ts`: real parts between
 * a model of Consul and a model of the API server. Dropping it is a crash.
 */
export class KvProcess {
  readonly clock = new FakeClock();
  readonly fingerprinter = new Fingerprinter();
  readonly ledger = new Ledger();
  readonly mirror = new KeyMirror(this.fingerprinter);
  readonly transactions: TransactionReport[] = [];
  readonly endings = new Map<ResourceKey, Ending>();
  readonly ledgerSync: LedgerSync;
  readonly commits: GroupCommit;
  readonly gate: WriteGate;
  readonly watcher: KeyWatcher;
  readonly kind: ConsulKVKind;
  readonly #life = new AbortController();
  readonly #options: KvProcessOptions;
  readonly #turn: Turn;

  constructor(options: KvProcessOptions) {
    this.#options = options;
    const { consul, cluster, installId = 'install-a', dryRun = false } = options;
    const { clock, ledger, mirror, fingerprinter } = this;
    const { signal } = this.#life;
    const tenure = options.tenure ?? createSoleTenure(consul.store);
    this.commits = new GroupCommit({
      txn: consul.txn,
      clock,
      othersRunnable: options.othersRunnable ?? (() => false),
      onTransaction: report => this.transactions.push(report),
      context: () => ROOT_CONTEXT,
      inSpan: (_turns, _operations, run) => run(),
    });
    this.gate = new WriteGate({ installId, dryRun, commits: this.commits, tenure: () => tenure });
    const following = {
      consul: consul.asReads,
      clock,
      random: () => 0.5,
      logger: SILENT,
      signal,
      onIndexFell: options.onIndexFell ?? (async () => {}),
    };
    this.watcher = new KeyWatcher({ ...following, mirror });
    this.ledgerSync = new LedgerSync({
      ...following,
      ledger,
      installId,
      highestIndex: () => mirror.highestIndex,
      onTampered: ref => ledger.mistrust(ref),
    });
    this.kind = new ConsulKVKind({
      installId,
      consul: consul.asReads,
      gate: this.gate,
      ledger,
      ledgerSync: this.ledgerSync,
      mirror,
      watcher: this.watcher,
      fingerprinter,
      sources: new SourceReader(cluster),
      datacenter: () => 'dc1',
    });
    this.#turn = createTurn({
      kind: this.kind,
      objects: cluster,
      clock,
      logger: SILENT,
      dryRun,
      consulAway: () => undefined,
      mayRemove: () => true,
      span: (_object, _ref, run) =>
        run({ traceId: undefined, step: async (_name, step) => step(), note() {}, failed() {} }),
      observe: () => ({ applied() {}, settled() {}, aborted() {}, panicked() {} }),
    });
  }

  /** A process that has read what Consul holds. */
  static async start(options: KvProcessOptions): Promise<KvProcess> {
    const started = new KvProcess(options);
    await started.load();
    return started;
  }

  async load(): Promise<void> {
    const { consul, installId = 'install-a' } = this.#options;
    const { gate, fingerprinter } = this;
    const { signal } = this.#life;
    const known = fingerprinter.key;
    fingerprinter.use(await ensurePrivateKey({ consul: consul.asReads, gate, installId, signal, known }));
    await this.ledgerSync.load();
    const owned = [...this.ledger.records()].map(
      record => [record.ref, new Set(listedNames(record).keys())] as const,
    );
    await this.watcher.load(owned);
  }

  /** One turn of the shell. */
  turn(ref: ResourceRef, signal: AbortSignal = this.#life.signal): Promise<TurnResult> {
    return this.#turn(resourceKey(ref), signal);
  }

  /** Turns until one neither failed nor asked for another at once. Throws when that takes too many. */
  async settle(ref: ResourceRef, turns = 20): Promise<TurnResult> {
    for (let turn = 0; turn < turns; turn++) {
      const result = await this.turn(ref);
      if (result.kind !== 'retry') return result;
    }
    throw new Error(`${resourceKey(ref)} does not settle: ${this.#options.cluster.condition(ref)}`);
  }

  /** What every key stands as by the watch, though nothing watches here. */
  async sweep(): Promise<void> {
    const { consul } = this.#options;
    const begunAt = this.mirror.begin();
    const { value } = await consul.txn.readKeys([...this.mirror.keys()], { signal: this.#life.signal });
    this.mirror.learn(value, begunAt);
  }
}

/** What a crash looks like to the code that it cuts short. */
export function crashed(): AbortedError {
  return new AbortedError('the process is gone');
}
