/**
 * What holds of every transaction, and of where they lead: for trees of any size, from any earlier state, whatever
 * others write in between and wherever the process dies.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { consulError } from '../../../../src/consul/errors.ts';
import { parseSessionId } from '../../../../src/consul/types.ts';
import { parseJson } from '../../../../src/core/json.ts';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import { listedNames, shardKey } from '../../../../src/ownership/record.ts';
import { crashed, type KvProcess } from '../../../support/kv-process.ts';
import { KvWorld } from '../../../support/kv-world.ts';
import type { ModelTransaction } from '../../../support/model-consul.ts';
import type { ModelEntry, ModelOperation } from '../../../support/model-store.ts';

/** A tree: names by number, and the content of each by number and salt. */
interface Wish {
  readonly from: number;
  readonly count: number;
  readonly salt: number;
  readonly large: readonly { readonly at: number; readonly bytes: number }[];
  readonly flags: number;
}

const wish: fc.Arbitrary<Wish> = fc.record({
  from: fc.nat(80),
  count: fc.oneof({ weight: 4, arbitrary: fc.nat(6) }, fc.nat(90), fc.nat(600)),
  salt: fc.nat(2),
  large: fc.array(fc.record({ at: fc.nat(100), bytes: fc.integer({ min: 20_000, max: 350_000 }) }), {
    maxLength: 4,
  }),
  flags: fc.nat(1),
});

/** What happens to one transaction on its way. */
const EVENTS = [
  'nothing',
  'crash before',
  'crash after',
  'lost before',
  'lost after',
  'edit',
  'delete',
  'lock',
] as const;
type Event = (typeof EVENTS)[number];
const events: fc.Arbitrary<readonly Event[]> = fc.array(fc.constantFrom(...EVENTS), { maxLength: 6 });

const PREFIX = 't/';
const SESSION = parseSessionId('00000000-0000-0000-0000-000000000001');

/** Short, in folders, nearly as long as may be, and twice as long as that once they are JSON. */
function nameOf(number: number): string {
  if (number % 13 === 0) return `long-${number}-${'n'.repeat(480)}`;
  if (number % 17 === 0) return `quoted-${number}-${'"\\'.repeat(230)}`;
  return number % 3 === 0 ? `folder/${number}` : `k${number}`;
}

function treeOf({ from, count, salt, large }: Wish): Record<string, string> {
  const tree: Record<string, string> = {};
  for (let number = from; number < from + count; number++) {
    tree[nameOf(number)] = `${number}-${number % 5 === 0 ? salt : 'same'}`;
  }
  for (const { at, bytes } of large) if (at < count) tree[nameOf(from + at)] = String(salt).repeat(bytes);
  return tree;
}

/** What nobody ever declares: beside the tree, in it, and where a prefix that is cut wrong would meet it. */
const FOREIGN = ['t', 't2/k1', 't/never', 't/folder/never', 'other/k1'];

class Episode {
  readonly world = new KvWorld();
  readonly #foreign: readonly ModelEntry[];
  readonly #locked = new Set<string>();
  operator!: KvProcess;

  constructor() {
    for (const key of FOREIGN) this.world.consul.store.put(key, 'foreign', 7n);
    this.#foreign = this.#foreignNow();
  }

  declare(wished: Wish): ResourceRef {
    this.world.cluster.configMap('source', treeOf(wished));
    return this.world.cluster.apply('tree', {
      prefix: PREFIX,
      dataFrom: [{ configMapRef: { name: 'source' } }],
      flags: wished.flags,
      adoptionPolicy: 'Always',
    });
  }

  /** Lets things happen to the next transactions, one each. */
  disturb(happenings: readonly Event[]): void {
    const { consul } = this.world;
    const queue = [...happenings];
    let event: Event = 'nothing';
    consul.beforeWrite = operations => {
      event = queue.shift() ?? 'nothing';
      const { Key: key } = operations.find(({ Key }) => Key.startsWith(PREFIX)) ?? {};
      if (event === 'edit' && key !== undefined) consul.store.put(key, 'edited');
      if (event === 'delete' && key !== undefined) consul.store.delete(key);
      if (event === 'lock' && key !== undefined) this.#lock(key);
      if (event === 'crash before') throw crashed();
      if (event === 'lost before') throw lost();
    };
    consul.afterWrite = () => {
      if (event === 'crash after') throw crashed();
      if (event === 'lost after') throw lost();
    };
  }

  /** Runs turns, and starts a new process wherever the last one died, until nothing is left to do. */
  async converge(ref: ResourceRef): Promise<readonly ModelTransaction[]> {
    const { consul } = this.world;
    const begun = consul.transactions.length;
    this.operator ??= await this.#restarted();
    for (let lives = 0; lives < 12; lives++) {
      const result = await this.operator.settle(ref).catch(() => undefined);
      if (result !== undefined) {
        // The outside edits of the last transactions, as the watch would show them.
        await this.operator.sweep();
        await this.operator.settle(ref).catch(() => {});
        const written = consul.transactions.length;
        if ((await this.#rests(ref)) && consul.transactions.length === written)
          return consul.transactions.slice(begun);
      }
      this.#unlock();
      this.operator = await this.#restarted();
    }
    throw new Error(`does not converge: ${this.world.cluster.condition(ref)}`);
  }

  expectWished(ref: ResourceRef, wished: Wish): void {
    const tree = treeOf(wished);
    const { world, operator } = this;
    const expected = new Map<string, string>();
    for (const [name, text] of Object.entries(tree)) {
      const content = { value: Buffer.from(text), flags: BigInt(wished.flags) };
      const stored = world.consul.store.get(PREFIX + name);
      if (stored === undefined || !stored.value.equals(content.value) || stored.flags !== content.flags) {
        throw new Error(`${name} is not as wished`);
      }
      expected.set(PREFIX + name, operator.fingerprinter.of(PREFIX + name, content));
    }
    const owned = Object.keys(world.data(PREFIX)).filter(key => !FOREIGN.includes(key));
    expect(owned).toHaveLength(expected.size);
    const record = world.record(ref);
    expect(new Map([...(record === undefined ? [] : listedNames(record))].sort())).toEqual(
      new Map([...expected].sort()),
    );
    expect(operator.ledger.record(ref)).toEqual(record);
    if (record !== undefined) expect(record.head).toMatchObject({ phase: 'settled', onDelete: 'Delete' });
  }

  expectForeignUntouched(): void {
    expect(this.#foreignNow()).toEqual(this.#foreign);
  }

  #lock(key: string): void {
    this.#locked.add(key);
    this.world.consul.store.acquire(key, SESSION, 'locked');
  }

  /** A key that holds a lock is not adopted: not before its session ends. */
  #unlock(): void {
    for (const key of this.#locked) this.world.consul.store.release(key, 'unlocked');
    this.#locked.clear();
  }

  #foreignNow(): ModelEntry[] {
    return FOREIGN.map(key => this.world.consul.store.get(key) as ModelEntry);
  }

  async #rests(ref: ResourceRef): Promise<boolean> {
    const object = this.world.cluster.get(ref);
    if (object === undefined) return true;
    await this.operator.turn(ref).catch(() => {});
    return this.world.cluster.condition(ref)?.startsWith('True') ?? false;
  }

  async #restarted(): Promise<KvProcess> {
    for (;;) {
      const started = await this.world.start().catch(() => undefined);
      if (started !== undefined) return started;
    }
  }
}

function lost() {
  return consulError('CONSUL_TIMEOUT', 'no answer', { outcomeUnknown: true });
}

const isData = ({ Key }: ModelOperation): boolean => !Key.startsWith('proconsul');
const isPut = (operation: ModelOperation): boolean => isData(operation) && operation.Verb === 'cas';
const isRemoval = (operation: ModelOperation): boolean =>
  isData(operation) && operation.Verb === 'delete-cas';

function expectLawful(ref: ResourceRef, { operations, bytes }: ModelTransaction): void {
  const writes = operations.filter(operation => isPut(operation) || isRemoval(operation));
  if (operations.length > 128 || bytes > 500_000)
    throw new Error(`${operations.length} operations, ${bytes} bytes`);
  if (operations.some(({ Key }) => Key === 'proconsul-private/install-a')) return;
  const heads = operations.filter(({ Key }) => Key === shardKey('install-a', ref, 0));
  expect(heads).toHaveLength(1);
  const listed = new Set(operations.flatMap(namesListedBy));
  for (const write of writes) {
    if (listed.has(write.Key) !== isPut(write)) throw new Error(`${write.Key} is written without its shard`);
  }
}

function namesListedBy({ Key, Verb, Value }: ModelOperation): string[] {
  if (!Key.includes('/owners/') || Verb !== 'cas') return [];
  const { names } = parseJson(Buffer.from(Value ?? '', 'base64').toString()) as {
    names: Record<string, string>;
  };
  return Object.entries(names).flatMap(([name, fingerprint]) => (fingerprint === '' ? [] : [name]));
}

/** Additions and updates, then removals. */
function expectOrdered(transactions: readonly ModelTransaction[]): void {
  const firstRemoval = transactions.findIndex(({ operations }) => operations.some(isRemoval));
  const lastPut = transactions.findLastIndex(({ operations }) => operations.some(isPut));
  if (firstRemoval !== -1) expect(lastPut).toBeLessThanOrEqual(firstRemoval);
}

function isSmall({ count, large }: Wish): boolean {
  return count <= 6 && large.every(({ bytes }) => bytes < 40_000);
}

const RUNS = { numRuns: 15, endOnFailure: true };

test('undisturbed, wishes are carried out in as few lawful transactions as fit, puts before removals', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(wish, { minLength: 1, maxLength: 3 }), async wishes => {
      const episode = new Episode();
      let before: Wish | undefined;
      for (const wished of wishes) {
        const ref = episode.declare(wished);
        const transactions = await episode.converge(ref);
        for (const transaction of transactions) expectLawful(ref, transaction);
        expectOrdered(transactions);
        episode.expectWished(ref, wished);
        const own = transactions.filter(({ operations }) =>
          operations.some(({ Key }) => Key.includes('/owners/')),
        );
        if (isSmall(wished) && isSmall(before ?? wished)) expect(own.length).toBeLessThanOrEqual(1);
        before = wished;
      }
      episode.expectForeignUntouched();
    }),
    RUNS,
  );
}, 120_000);

test('disturbed anywhere, they end as undisturbed ones do', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(wish, events), { minLength: 1, maxLength: 3 }), async steps => {
      const episode = new Episode();
      for (const [wished, happenings] of steps) {
        const ref = episode.declare(wished);
        episode.disturb(happenings);
        for (const transaction of await episode.converge(ref)) expectLawful(ref, transaction);
        episode.expectWished(ref, wished);
      }
      episode.expectForeignUntouched();
    }),
    RUNS,
  );
}, 120_000);

test('deleting, disturbed anywhere, leaves nothing of the resource and all of the others', async () => {
  await fc.assert(
    fc.asyncProperty(wish, events, events, async (wished, before, happenings) => {
      const episode = new Episode();
      const ref = episode.declare(wished);
      episode.disturb(before);
      await episode.converge(ref);
      episode.world.cluster.delete(ref);
      episode.disturb(happenings);
      await episode.converge(ref);
      expect(episode.world.cluster.get(ref)).toBeUndefined();
      expect(episode.world.records()).toEqual([]);
      expect(Object.keys(episode.world.data())).toHaveLength(FOREIGN.length);
      episode.expectForeignUntouched();
    }),
    RUNS,
  );
}, 120_000);
