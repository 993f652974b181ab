import { expect, inject } from 'vitest';
import { ChangingKvs } from './changing-kvs.ts';
import { ConsulCluster, type Snapshot } from './consul-cluster.ts';
import { ConsulKvs } from './consulkv.ts';
import { eventually } from './eventually.ts';
import type { RecordedRequest } from './fault-rules.ts';
import { fencingProblems, type Marks, marksOf } from './fencing-laws.ts';
import { LeadTimes, type Sent } from './lead-times.ts';
import { LockHistory } from './lock-history.ts';
import { PassedLease } from './passed-lease.ts';
import { Replica } from './replica.ts';
import { StoreFollower } from './store-follower.ts';
import {
  destroyedSession,
  isConsulWrite,
  isKubernetesWrite,
  isLeaseSessionCreation,
  isOwnElection,
  isSessionRenewal,
  isStatusWrite,
  isTransaction,
} from './traffic.ts';
import { World } from './world.ts';
import { WriteRecorder, type WrittenTransaction } from './write-recorder.ts';

export const TTL_MS = 10_000;
export const LOCK_DELAY_MS = 5_000;
/** How long Consul keeps the lock closed, then: a second of what is configured is for the takeover. */
export const CLOSED_MS = LOCK_DELAY_MS - 1_000;
/** Consul ends a session after twice its TTL; the next leader acts within the lock-delay. */
export const CRASH_FAILOVER_MS = 2 * TTL_MS + LOCK_DELAY_MS;
/** From the SIGTERM to a leader to the first transaction of the next. */
export const HANDOVER_MS = 1_000;
/** For what has to happen only after a machine that others use, too, has come to it. */
const PATIENCE_MS = 30_000;

/** Who leads: the replica, and the session by which it does. */
export interface Reign {
  readonly replica: Replica;
  readonly session: string;
}

interface LockEntry {
  readonly session: string | undefined;
  readonly holder: string;
}

/** No Consul of before. */
const NO_MARKS: Marks = { epoch: 0, tokens: new Map() };

/**
 * Three replicas of one install on three Consul servers and one API server, with resources of both kinds that change
 * all the time. What they send is recorded, each transaction with Consul's own index, and so is what then stood in
 * Consul, and who held the lock at which index.
 */
export class ElectionWorld {
  readonly world: World;
  readonly kvs: ConsulKvs;
  readonly cluster: ConsulCluster;
  readonly replicas: readonly Replica[];
  readonly changing: ChangingKvs;
  readonly passed: PassedLease;
  readonly lockKey: string;
  readonly #recorder: WriteRecorder;
  readonly #leadTimes = new LeadTimes();
  #history = new LockHistory();
  #follower: StoreFollower;
  /** What the laws begin with: a Consul that was rebuilt has other indexes. */
  #begin: { readonly since: number; readonly least: Marks } = { since: 0, least: NO_MARKS };

  private constructor(world: World, cluster: ConsulCluster, replicas: readonly Replica[]) {
    this.world = world;
    this.kvs = new ConsulKvs(world);
    this.cluster = cluster;
    this.replicas = replicas;
    this.changing = new ChangingKvs(world, this.kvs);
    this.passed = new PassedLease(world);
    this.lockKey = `proconsul/${world.installId}/leader`;
    this.#recorder = new WriteRecorder(this.lockKey);
    this.#follower = this.#follow();
  }

  /** With one replica that leads and two that stand by. */
  static async create(
    topic: string,
    { replicas = 3, env = {} }: { readonly replicas?: number; readonly env?: Record<string, string> } = {},
  ): Promise<ElectionWorld> {
    const cluster = await ConsulCluster.start();
    const world = await World.create(topic, { consulAddress: cluster.address });
    const addresses = cluster.servers.map(({ address }) => address);
    const all = await Promise.all(
      Array.from({ length: replicas }, (_, at) =>
        Replica.create({
          name: `replica-${at}`,
          apiServer: inject('sandbox'),
          consulAddresses: [...addresses.slice(at), ...addresses.slice(0, at)],
          env: {
            PROCONSUL_INSTALL_ID: world.installId,
            PROCONSUL_NAMESPACES: world.namespace,
            PROCONSUL_LEASE_TTL: `${TTL_MS / 1000}s`,
            PROCONSUL_LEASE_LOCK_DELAY: `${LOCK_DELAY_MS / 1000}s`,
            ...env,
          },
        }),
      ),
    );
    const election = new ElectionWorld(world, cluster, all);
    try {
      await election.#start();
      return election;
    } catch (error) {
      await election.close();
      throw error;
    }
  }

  /** Who leads now: holds the lock and has opened its tenure. */
  async reign(): Promise<Reign> {
    return this.#reignWhere(() => true, { what: 'somebody leads', withinMs: PATIENCE_MS });
  }

  /** Resolves when another tenure has begun: by none of the sessions named. */
  async nextReign(
    { session }: Pick<Reign, 'session'>,
    {
      withinMs = CRASH_FAILOVER_MS,
      otherThan = [],
    }: { readonly withinMs?: number; readonly otherThan?: readonly string[] } = {},
  ): Promise<Reign> {
    const past = new Set([session, ...otherThan]);
    const what = 'another tenure has begun';
    return this.#reignWhere(next => !past.has(next.session), { what, withinMs });
  }

  /** Resolves when a transaction of this tenure was committed. */
  async acts({ session }: Pick<Reign, 'session'>, withinMs = PATIENCE_MS): Promise<void> {
    await eventually(() => this.committed(session).length > 0, {
      what: 'a transaction of the tenure was committed',
      timeoutMs: withinMs,
      pollMs: 5,
    });
  }

  /** Resolves with the session when a transaction of any tenure but those was committed. */
  async actsAfter(past: readonly string[], withinMs: number): Promise<string> {
    const isNext = ({ session, outcome, keys }: WrittenTransaction): boolean =>
      outcome === 'committed' && keys.length > 0 && session !== undefined && !past.includes(session);
    const found = await eventually(() => this.transactions.find(isNext) ?? false, {
      what: 'the next leader has acted',
      timeoutMs: withinMs,
      pollMs: 5,
    });
    return (found as WrittenTransaction).session as string;
  }

  /** Resolves as soon as a renewal was answered that was not yet due now. */
  async renews(): Promise<void> {
    const since = performance.now();
    const session = (await this.lock()).session;
    const path = `/v1/session/renew/${session}`;
    await eventually(
      () => this.#requestsSince(since).some(one => one.path === path && one.upstreamStatus === 200),
      { what: 'the leader renews its session', pollMs: 5 },
    );
  }

  others({ replica }: Pick<Reign, 'replica'>): readonly Replica[] {
    return this.replicas.filter(one => one !== replica);
  }

  /** Writing transactions of all replicas, in the order of arrival. */
  get transactions(): readonly WrittenTransaction[] {
    return this.#recorder.transactions(this.#requestsSince(0));
  }

  /** Every session that a tenure has begun with. */
  get sessions(): readonly string[] {
    return this.transactions.flatMap(({ acquires }) => acquires ?? []);
  }

  committed(session: string): readonly WrittenTransaction[] {
    return this.transactions.filter(one => one.session === session && one.outcome === 'committed');
  }

  refused(session: string): readonly WrittenTransaction[] {
    return this.transactions.filter(one => one.session === session && one.outcome === 'refused');
  }

  async lock(): Promise<LockEntry> {
    const entry = await this.cluster.api.kvGet(this.lockKey);
    const { holder } = JSON.parse(entry?.text || '{"holder":""}') as { holder: string };
    return { session: entry?.session, holder };
  }

  /** Resolves when the replica has stopped to act in this tenure. */
  async ends({ replica, session }: Reign, withinMs: number): Promise<void> {
    const hasEnded = (): boolean => {
      const began = replica.logs.findIndex(line => line.msg === 'leading' && line['sessionId'] === session);
      return replica.logs.slice(began).some(({ msg }) => msg === 'no longer leading');
    };
    await eventually(hasEnded, { what: 'the tenure has ended', timeoutMs: withinMs, pollMs: 5 });
  }

  /** What others read in the lock: that its holder is a process of another machine, of which they know nothing. */
  async moveElsewhere({ session }: Reign): Promise<void> {
    const entry = await this.cluster.api.kvGet(this.lockKey);
    const value = JSON.parse(entry?.text ?? '{}') as { process?: object };
    const elsewhere = { ...value, process: { ...value.process, bootId: 'of-another-machine' } };
    const options = { acquire: session, flags: entry?.flags ?? 0n };
    expect(await this.cluster.api.kvPut(this.lockKey, JSON.stringify(elsewhere), options)).toBe(true);
  }

  async takeSnapshot(): Promise<{ readonly snapshot: Snapshot; readonly session: string | undefined }> {
    const { session } = await this.lock();
    return { snapshot: await this.cluster.takeSnapshot(), session };
  }

  async restore(taken: Awaited<ReturnType<ElectionWorld['takeSnapshot']>>): Promise<void> {
    const index = await this.#follower.across(() => this.cluster.restore(taken.snapshot));
    this.#history.note({ index, session: taken.session });
  }

  /**
   * Another Consul at the same addresses, with nothing in it. Its indexes are others.
   *
   * @param whoRemembers `nobody`: the tokens of the leader's own lock begin anew, which stood nowhere but in Consul.
   * Owner records carry the epoch, and tokens of leases stand in statuses, too: these go on.
   */
  async wipe(whoRemembers: 'replicas' | 'nobody'): Promise<void> {
    await Promise.all(this.cluster.servers.map(server => server.kill()));
    this.assertLaws();
    await this.#follower.close();
    const { epoch, tokens } = marksOf({ transactions: this.transactions, least: this.#begin.least });
    const kept = [...tokens].filter(([key]) => whoRemembers === 'replicas' || key !== this.lockKey);
    this.#begin = { since: performance.now(), least: { epoch: epoch + 1, tokens: new Map(kept) } };
    this.#history = new LockHistory();
    await Promise.all(this.cluster.servers.map(server => server.start({ wipe: true })));
    this.#follower = this.#follow();
  }

  /**
   * The resources have stopped changing, Consul is what they say, and while the leader renews its session once more
   * and every resource is looked at again nobody writes anything.
   */
  async converges(): Promise<void> {
    await this.whileNothingChanges(() => this.#settles());
    this.assertLaws();
  }

  /** Lets the resources be for as long as `act` takes; before it, every last change has been carried out. */
  async whileNothingChanges<T>(act: () => Promise<T>): Promise<T> {
    await Promise.all([this.changing.stop(), this.passed.stop()]);
    try {
      for (const name of this.changing.names) await this.kvs.ready(name);
      await this.world.becomesStored('', this.changing.declared);
      await this.passed.settled();
      return await act();
    } finally {
      this.#change();
    }
  }

  async #settles(): Promise<void> {
    await this.reign();
    const writes = this.#writes().length;
    for (const name of this.changing.names) await this.kvs.lookAgain(name);
    await this.renews();
    const late = this.#writes().slice(writes);
    expect(late.map(inWords), 'writes while nothing changes').toEqual([]);
  }

  assertLaws(): void {
    const { since, least } = this.#begin;
    const transactions = this.transactions.filter(({ request }) => request.at >= since);
    for (const { acquires, index } of transactions) {
      if (acquires !== undefined && index !== undefined) this.#history.note({ index, session: acquires });
    }
    const { sightings, removals } = this.#follower;
    const { lockKey } = this;
    const evidence = { transactions, history: this.#history, lockKey, sightings, removals, least };
    const problems = fencingProblems(evidence);
    if (problems.length > 0) throw new Error(`what must never be:\n${problems.join('\n')}`);
    expect(this.#strays(), 'writes without the lead that no transaction carries').toEqual([]);
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.changing.stop(), this.passed.stop()]);
    await Promise.all(this.replicas.map(replica => replica.close()));
    await this.#follower.close();
    const lease = { name: `proconsul-${this.world.installId}`, namespace: 'default' };
    await this.world.kube.delete({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: lease });
    await this.world.close();
    await this.cluster.close();
  }

  async #reignWhere(
    matches: (reign: Reign) => boolean,
    { what, withinMs }: { readonly what: string; readonly withinMs: number },
  ): Promise<Reign> {
    return eventually(
      async () => {
        const { session, holder } = await this.lock();
        const replica = this.replicas.find(({ name }) => name === holder);
        if (session === undefined || replica === undefined) throw new Error('nobody holds the lock');
        const leads = replica.logs.some(line => line.msg === 'leading' && line['sessionId'] === session);
        if (!leads || !matches({ replica, session })) throw new Error(`${holder} holds it, with ${session}`);
        return { replica, session };
      },
      { what, timeoutMs: withinMs, pollMs: 10 },
    ).catch((error: unknown) => {
      const tails = this.replicas.map(({ name, operator }) => `${name}:\n${operator.tail(12)}`);
      throw new Error(`${String(error)}\n${tails.join('\n')}`, { cause: error });
    });
  }

  async #start(): Promise<void> {
    await Promise.all([this.changing.declare(), this.passed.declare()]);
    await Promise.all(this.replicas.map(replica => replica.start()));
    await this.reign();
    for (const name of this.changing.names) await this.kvs.ready(name);
    await this.passed.settled();
    this.#change();
  }

  #change(): void {
    this.changing.start();
    this.passed.start();
  }

  #follow(): StoreFollower {
    const history = this.#history;
    return new StoreFollower(this.cluster, (keys, index) => {
      const lock = keys.get(this.lockKey);
      this.#leadTimes.see(lock?.session);
      if (lock !== undefined) history.note({ index: lock.index, session: lock.session });
      // Deleted: at this index, or before.
      else if (history.holderAt(index) !== undefined) history.note({ index, session: undefined });
    });
  }

  #requestsSince(since: number): readonly RecordedRequest[] {
    return this.replicas
      .flatMap(({ consulRequests }) => consulRequests)
      .filter(({ at }) => at >= since)
      .sort((one, other) => one.at - other.at);
  }

  /**
   * What is written in the name of the lead and cannot prove it to the server: sessions of leases, Pods, Services,
   * finalizers. It must not even be sent without the lead.
   */
  #strays(): readonly string[] {
    const leads = this.#sent(({ consulRequests }) => this.#recorder.transactions(consulRequests)).flatMap(
      ({ replica, sent: { acquires, request } }) =>
        acquires === undefined ? [] : [{ replica, session: acquires, from: request.at }],
    );
    const leaseSessions = this.#leaseSessions();
    const isUnfenced = (request: RecordedRequest): boolean =>
      isLeaseSessionCreation(request) ||
      leaseSessions.has(destroyedSession(request) ?? '') ||
      (isConsulWrite(request) && !isTransaction(request));
    const writes = [
      ...this.#sent(({ consulRequests }) => consulRequests.filter(isUnfenced)),
      ...this.#sent(({ toKube }) =>
        toKube.requests.filter(one => isKubernetesWrite(one) && !isStatusWrite(one)),
      ),
    ].map(({ replica, sent: request }): Sent => ({ replica, request }));
    return this.#leadTimes.strays(writes, leads);
  }

  #sent<T>(of: (replica: Replica) => readonly T[]): { readonly replica: string; readonly sent: T }[] {
    return this.replicas.flatMap(replica => of(replica).map(sent => ({ replica: replica.name, sent })));
  }

  /** Every session that was made for a ConsulLeaderLease. */
  #leaseSessions(): ReadonlySet<string> {
    const isMade = (one: RecordedRequest): boolean =>
      isLeaseSessionCreation(one) && one.upstreamStatus === 200;
    const replies = this.#requestsSince(0).flatMap(one => (isMade(one) && one.reply) || []);
    return new Set(replies.map(reply => (JSON.parse(reply) as { ID: string }).ID));
  }

  /** Those of the election itself, too, renewals apart. */
  #writes(): readonly RecordedRequest[] {
    return this.#requestsSince(0)
      .filter(one => (isConsulWrite(one) || isOwnElection(one)) && !isSessionRenewal(one))
      .sort((one, other) => one.at - other.at);
  }
}

function inWords({ method, path, body, upstreamStatus }: RecordedRequest): string {
  return `${method} ${path} ${body.slice(0, 200)} -> ${upstreamStatus}`;
}
