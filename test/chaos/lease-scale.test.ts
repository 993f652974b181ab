import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { KubeObject } from '../support/kube-api.ts';
import { LEADER_LABEL, Leases } from '../support/leases.ts';
import type { Operator } from '../support/operator.ts';
import { World } from '../support/world.ts';

/** 100 leases with three Pods each, on the real API server: no kubelet, so the test writes the Pods' statuses. */

const LEASES = 100;
const AT_ONCE = 8;
/** Of handovers: this many of every lease, and then as many as fit; their number is told. */
const HANDOVERS_EACH = Number(process.env['PROCONSUL_TEST_HANDOVERS'] ?? 20);
const BUDGET_MS = 60_000;
const TIMEOUT_MS = 300_000 + HANDOVERS_EACH * 60_000;

const names = Array.from({ length: LEASES }, (_, n) => `lease-${String(n).padStart(3, '0')}`);
const podsOf = (name: string): string[] => ['a', 'b', 'c'].map(letter => `${name}-${letter}`);

let world: World;
let leases: Leases;
let operators: Operator[];

beforeAll(async () => {
  world = await World.create('lease-scale');
  leases = new Leases(world);
  operators = await Promise.all([world.startOperator(), world.startOperator()]);
});

afterAll(async () => world.close());

async function forEachLease(work: (name: string) => Promise<void>): Promise<void> {
  const queue = names.values();
  const worker = async (): Promise<void> => {
    for (const name of queue) await work(name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** What both servers say of every lease, from one list each. */
async function everything() {
  const { kube, consul, namespace, installId } = world;
  const [resources, pods, slices, locks] = await Promise.all([
    kube.list({ apiVersion: 'proconsul.dev/v1alpha1', kind: 'ConsulLeaderLease' }, namespace),
    kube.list({ apiVersion: 'v1', kind: 'Pod' }, namespace),
    kube.list({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' }, namespace),
    consul.kvList(`proconsul/${installId}/leases/${namespace}/`),
  ]);
  const labelled = pods.filter(({ metadata }) => metadata.labels?.[LEADER_LABEL] === 'true');
  return names.map(name => {
    const holders = leases.holdersOf(resources.find(({ metadata }) => metadata.name === name) as KubeObject);
    const lock = locks.get(leases.defaultKey(name));
    return {
      name,
      holders: holders.map(holder => holder.name),
      lock: lock && { session: lock.session, text: lock.text },
      isOfHolder: lock?.session !== undefined && lock.session === holders[0]?.sessionID,
      labelled: labelled.filter(({ metadata }) => metadata.labels?.['app'] === name).map(nameOf),
      endpoints: slices
        .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name)
        .flatMap(slice =>
          (slice['endpoints'] ?? []).map((one: KubeObject) => one['targetRef'].name as string),
        ),
    };
  });
}

function nameOf({ metadata }: KubeObject): string {
  return metadata.name;
}

/** One holder each, and lock, label and endpoints are those of the holder that the status names. */
async function allAgree(): Promise<void> {
  await eventually(
    async () => {
      for (const { name, holders, isOfHolder, labelled, endpoints } of await everything()) {
        expect({ name, count: holders.length, isOfHolder, labelled, endpoints }).toEqual({
          name,
          count: 1,
          isOfHolder: true,
          labelled: holders,
          endpoints: holders,
        });
      }
    },
    { what: 'locks, labels and endpoints agree with the statuses', timeoutMs: 60_000, pollMs: 500 },
  );
}

test(
  'each has one holder; tokens grow over random handovers; the death of the leader changes no holder',
  async () => {
    const began = performance.now();
    await forEachLease(async name => {
      await leases.readyPods(name, podsOf(name));
      await leases.declare(name, { service: { name, ports: [{ port: 80, targetPort: 'http' }] } });
    });
    await allAgree();
    say(`${LEASES} leases of ${3 * LEASES} Pods are held`, began);

    const handed = performance.now();
    const tokens = new Map(names.map(name => [name, 0n]));
    let handovers = 0;
    const isTimeLeft = (): boolean =>
      handovers < LEASES * HANDOVERS_EACH || performance.now() - handed < BUDGET_MS;
    while (isTimeLeft()) {
      await forEachLease(async name => {
        if (!isTimeLeft()) return;
        await handOver(name);
        const { lock } = (await leases.lock(leases.defaultKey(name))) ?? {};
        const token = BigInt(lock?.fencingToken ?? 0);
        expect(token).toBeGreaterThan(tokens.get(name) ?? 0n);
        tokens.set(name, token);
        handovers += 1;
      });
    }
    expect(handovers).toBeGreaterThanOrEqual(LEASES * HANDOVERS_EACH);
    say(`${handovers} handovers`, handed);
    await allAgree();

    const before = await everything();
    const leader = operators.find(({ logs }) => logs.some(({ msg }) => msg === 'leading')) as Operator;
    const standby = operators.find(one => one !== leader) as Operator;
    const killed = performance.now();
    await leader.crash();
    await standby.waitForLog(({ msg }) => msg === 'leading');
    say('the standby leads', killed);
    await handOver(names[0] as string);
    await allAgree();
    expect((await everything()).slice(1)).toEqual(before.slice(1));
  },
  TIMEOUT_MS,
);

/** The holder loses the lease in one of the ways a Pod can, and is a candidate again afterwards. */
async function handOver(name: string): Promise<void> {
  const [before] = await leases.holders(name);
  const pod = before?.name ?? '';
  const isDeleted = Math.random() < 0.3;
  if (isDeleted) await leases.deletePod(pod);
  else await leases.setReady(pod, false);
  await eventually(
    async () => {
      const [now] = await leases.holders(name);
      expect(now?.sessionID).toBeDefined();
      expect(now?.sessionID).not.toBe(before?.sessionID);
    },
    { what: `${name} is handed over`, pollMs: 100 },
  );
  if (isDeleted) await leases.createPod(name, pod);
  await leases.setReady(pod, true);
}

function say(what: string, since: number): void {
  process.stdout.write(`${what}: ${((performance.now() - since) / 1000).toFixed(1)} s\n`);
}
