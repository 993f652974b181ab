import type { ElectionWorld, Reign } from './election-world.ts';
import { eventually } from './eventually.ts';
import type { RecordedRequest, Rule } from './fault-rules.ts';
import { Leases } from './leases.ts';
import { destroyedSession, isLeaseSessionCreation, isStatusWrite, isWritingTransaction } from './traffic.ts';

/** What the issue allows for putting right what no server can refuse. */
export const REPAIRED_MS = 1_000;

export const TRANSACTIONS = 'transactions';
export const STATUSES = 'statuses';

/** One kind of write of a leader, sent by it and arriving when another one leads. */
interface LateWrite {
  readonly what: string;
  /** Everything that its requests need to be sent, but for the last. */
  readonly prepare?: () => Promise<unknown>;
  readonly matches: (request: RecordedRequest) => boolean;
  readonly to: 'kube' | 'consul';
  /** Makes the leader send it. */
  readonly trigger?: () => Promise<unknown>;
  /** What is changed before anybody else looks. */
  readonly onceHeld?: () => Promise<unknown>;
  /** What is changed while the former leader sleeps, and carried out by the next one. */
  readonly overtake?: () => Promise<unknown>;
  /** Throws, or is false, unless everything is as it has to be. */
  readonly isRight?: () => Promise<unknown>;
  /** Leaves nothing behind. */
  readonly remove?: () => Promise<unknown>;
}

interface HeldWrite {
  readonly write: LateWrite;
  readonly rules: readonly Rule[];
}

/** How the late ones of a kind fared: refused by the server, or taken by it and put right by the leader. */
export interface Fate {
  readonly what: string;
  readonly refused: readonly RecordedRequest[];
  readonly taken: readonly RecordedRequest[];
  /** From the server's answer to the last, until all was right (again). */
  readonly repairedMs: number;
}

/** Every kind of write that a leader makes, on its way when the leader is paused. */
export class LateWrites {
  readonly #election: ElectionWorld;
  readonly #reign: Reign;
  readonly #leases: Leases;
  readonly #round: string;
  #held: readonly HeldWrite[] = [];

  /** @param round tells its resources from those of another one. */
  constructor(election: ElectionWorld, reign: Reign, round: string) {
    this.#election = election;
    this.#reign = reign;
    this.#leases = new Leases(election.world);
    this.#round = round;
  }

  /** Resolves when at least one write of each kind is on its way and has not arrived. */
  async hold(): Promise<void> {
    const { provoked, usual } = this.#writes();
    for (const { prepare } of provoked) await prepare?.();
    await Promise.all(provoked.map(write => this.#hold(write)));
    for (const write of usual) await this.#hold(write);
    for (const { onceHeld } of provoked) await onceHeld?.();
  }

  /** What comes from now on passes. */
  holdNoMore(): void {
    for (const { rules } of this.#held) for (const rule of rules) rule.remove();
  }

  /** Resolves when the next leader has done what was changed since, and so everything late would be wrong. */
  async overtake(): Promise<void> {
    for (const { write } of this.#held) await write.overtake?.();
    for (const { write } of this.#held) await becomesRight(write);
  }

  /** Lets them arrive, one kind after the other. */
  async letGo(): Promise<readonly Fate[]> {
    const fates: Fate[] = [];
    for (const held of this.#held) fates.push(await letGo(held));
    return fates;
  }

  async remove(): Promise<void> {
    for (const { write } of this.#held) await write.remove?.();
  }

  async #hold(write: LateWrite): Promise<void> {
    const { toKube, toConsul } = this.#reign.replica;
    const proxies = write.to === 'kube' ? [toKube] : toConsul;
    const rules = proxies.map(proxy => proxy.when(write.matches, { kind: 'hold' }));
    this.#held = [...this.#held, { write, rules }];
    await write.trigger?.();
    await eventually(() => rules.some(({ hits }) => hits.length > 0), { what: `${write.what} under way` });
  }

  /** Those that have to be provoked, and those that the resources which change all the time bring forth. */
  #writes(): { readonly provoked: readonly LateWrite[]; readonly usual: readonly LateWrite[] } {
    const { session } = this.#reign;
    const provoked = [
      this.#label(),
      this.#endpoints(),
      this.#service(),
      this.#sessionMade(),
      this.#sessionEnded(),
      this.#finalizer(),
    ];
    const isOfTheReign = (request: RecordedRequest): boolean =>
      isWritingTransaction(request) && request.body.includes(session);
    // Of those that stay: that of one which is gone by then would be refused for that alone.
    const isOfAKv = (request: RecordedRequest): boolean =>
      isStatusWrite(request) && request.path.includes('/consulkvs/changing-');
    // Without transactions there are no statuses either.
    return {
      provoked,
      usual: [
        { what: STATUSES, to: 'kube', matches: isOfAKv },
        { what: TRANSACTIONS, to: 'consul', matches: isOfTheReign },
      ],
    };
  }

  #finalizer(): LateWrite {
    const name = `late-${this.#round}`;
    const { kvs, world } = this.#election;
    return {
      what: 'finalizers',
      to: 'kube',
      matches: ({ method, path }) => method === 'PATCH' && path.endsWith(`/consulkvs/${name}`),
      trigger: () => kvs.declare(name, { key: `late/${world.key(name)}`, value: 'any' }),
      isRight: () => kvs.ready(name),
      remove: () => kvs.remove(name),
    };
  }

  /** Says of a Pod that it leads, which does so no more. */
  #label(): LateWrite {
    const lease = this.#leaseFor('label');
    return {
      ...lease,
      what: 'Pod labels',
      to: 'kube',
      prepare: () => lease.declare({}),
      matches: ({ method, path }) => method === 'PATCH' && path.endsWith(`/pods/${lease.first}`),
      trigger: () => lease.ready(lease.first),
      overtake: () => lease.handOver(),
      isRight: () => this.#leases.ledBy(lease.name, lease.second),
    };
  }

  /** Points at a Pod that leads no more. */
  #endpoints(): LateWrite {
    const lease = this.#leaseFor('endpoints');
    return {
      ...lease,
      what: 'EndpointSlice changes',
      to: 'kube',
      prepare: async () => {
        await lease.declare({ service: serviceOf(lease.name) });
        await lease.ready(lease.second);
        await lease.pointsAt(lease.second);
      },
      matches: ({ method, path }) => method === 'PATCH' && path.includes(`/endpointslices/${lease.name}`),
      trigger: async () => {
        await lease.ready(lease.first);
        await this.#leases.setReady(lease.second, false);
      },
      overtake: async () => {
        await lease.pointsAt(lease.first);
        await lease.handOver();
      },
      isRight: () => lease.pointsAt(lease.second),
    };
  }

  /** Makes what is wanted no more: no precondition keeps that from being carried out. */
  #service(): LateWrite {
    const lease = this.#leaseFor('service');
    const { world } = this.#election;
    return {
      ...lease,
      what: 'Services and EndpointSlices made',
      to: 'kube',
      prepare: async () => {
        await lease.declare({});
        await lease.ready(lease.first);
        await this.#leases.ledBy(lease.name, lease.first);
      },
      matches: ({ method, path, body }) =>
        method === 'POST' && /\/(services|endpointslices)$/.test(path) && body.includes(lease.name),
      trigger: () => this.#leases.change(lease.name, { service: serviceOf(lease.name) }),
      overtake: async () => {
        await lease.pointsAt(lease.first);
        await this.#leases.change(lease.name, { service: null });
      },
      isRight: async () =>
        (await world.kube.get(world.object('v1', 'Service', lease.name))) === undefined &&
        (await this.#leases.endpoints(lease.name)).length === 0,
    };
  }

  /** For a Pod that holds the lease by another session already. */
  #sessionMade(): LateWrite {
    const lease = this.#leaseFor('made');
    return {
      ...lease,
      what: 'sessions of leases made',
      to: 'consul',
      prepare: () => lease.declare({}),
      matches: request => isLeaseSessionCreation(request) && request.body.includes(`/${lease.name}/`),
      trigger: () => lease.ready(lease.first),
      isRight: () => lease.isHeldBySoleSession(lease.first),
    };
  }

  /** Of a Pod that is to lead on. */
  #sessionEnded(): LateWrite {
    const lease = this.#leaseFor('ended');
    let session = '';
    return {
      ...lease,
      what: 'sessions of leases ended',
      to: 'consul',
      prepare: async () => {
        await lease.declare({ handover: 'AfterLockDelay' });
        await lease.ready(lease.first);
        const [holder] = await this.#leases.ledBy(lease.name, lease.first);
        session = holder?.sessionID ?? '';
      },
      matches: request => destroyedSession(request) === session,
      trigger: () => this.#leases.setReady(lease.first, false),
      onceHeld: () => lease.ready(lease.first),
      isRight: () => lease.isHeldBySoleSession(lease.first),
    };
  }

  #leaseFor(topic: string) {
    const leases = this.#leases;
    const name = `late-${topic}-${this.#round}`;
    const [first, second] = [`${name}-a`, `${name}-b`] as const;
    return {
      name,
      first,
      second,
      ready: (pod: string) => leases.setReady(pod, true),
      declare: async (spec: object) => {
        for (const pod of [first, second]) await leases.createPod(name, pod);
        await leases.declare(name, { session: { lockDelay: '0s' }, ...spec });
      },
      handOver: async () => {
        await leases.ledBy(name, first);
        await leases.setReady(second, true);
        await leases.setReady(first, false);
      },
      pointsAt: async (pod: string) =>
        eventually(async () => (await leases.endpoints(name)).join() === pod, {
          what: `${name} points at ${pod}`,
        }),
      isHeldBySoleSession: async (pod: string) => {
        const [holder] = await leases.heldBy(name, pod);
        return (await leases.sessionsOf(name)).join() === holder?.sessionID;
      },
      remove: async () => {
        await leases.remove(name);
        for (const pod of [first, second]) await leases.deletePod(pod);
      },
    };
  }
}

async function letGo({ write, rules }: HeldWrite): Promise<Fate> {
  const hits = rules.flatMap(rule => rule.hits);
  for (const rule of rules) rule.release();
  const arrived = (): boolean => hits.every(({ upstreamStatus }) => upstreamStatus !== undefined);
  await eventually(arrived, { what: `${write.what} have arrived`, pollMs: 2 });
  const arrivedAt = performance.now();
  await becomesRight(write);
  const repairedMs = Math.round(performance.now() - arrivedAt);
  const isTaken = ({ upstreamStatus = 0 }: RecordedRequest): boolean => upstreamStatus < 300;
  return {
    what: write.what,
    refused: hits.filter(one => !isTaken(one)),
    taken: hits.filter(isTaken),
    repairedMs,
  };
}

async function becomesRight({ what, isRight }: LateWrite): Promise<void> {
  if (isRight === undefined) return;
  await eventually(async () => (await isRight()) !== false, {
    what: `all is right after late ${what}`,
    pollMs: 5,
  });
}

function serviceOf(name: string) {
  return { name, ports: [{ port: 80, targetPort: 'http' }] };
}
