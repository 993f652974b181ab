import type { ResourceRef } from '../../src/core/resource.ts';
import { decodeRecords, listedNames, type OwnerRecord } from '../../src/ownership/record.ts';
import { KvProcess, type KvProcessOptions, ModelCluster } from './kv-process.ts';
import { ModelConsul } from './model-consul.ts';

/** One Consul, one cluster, and the processes of operator installs between them. */
export class KvWorld {
  readonly consul = new ModelConsul();
  readonly cluster = new ModelCluster();

  /** A process that has read everything. */
  start(options: Partial<KvProcessOptions> = {}): Promise<KvProcess> {
    return KvProcess.start({ consul: this.consul, cluster: this.cluster, ...options });
  }

  /** A process that commits nothing before `turns` of them have something to commit. */
  startGathering(turns: number, options: Partial<KvProcessOptions> = {}): Promise<KvProcess> {
    let isStarted = false;
    const othersRunnable = (waiting: number): boolean => isStarted && waiting < turns;
    return this.start({ othersRunnable, ...options }).then(operator => {
      isStarted = true;
      return operator;
    });
  }

  /** The users' part of the key space. */
  data(prefix = ''): Record<string, string> {
    const all = Object.entries(this.consul.texts(prefix));
    return Object.fromEntries(all.filter(([key]) => !key.startsWith('proconsul')));
  }

  records(): { readonly install: string; readonly record: OwnerRecord }[] {
    const entries = this.consul.store.under('proconsul/').map(entry => ({ ...entry, session: undefined }));
    const installs = new Set(entries.map(({ key }) => key.split('/')[1] as string));
    return [...installs].flatMap(install =>
      decodeRecords(install, entries as never).map(record => ({ install, record })),
    );
  }

  record(ref: ResourceRef): OwnerRecord | undefined {
    return this.records().find(({ record }) => record.ref.name === ref.name)?.record;
  }

  /** Whose records say that they have written a key: `install:name`. */
  ownersOf(key: string): string[] {
    return this.records().flatMap(({ install, record }) =>
      (listedNames(record).get(key) ?? '') === '' ? [] : [`${install}:${record.ref.name}`],
    );
  }

  /** Condition reasons, in the order asked for. */
  reasons(...refs: readonly ResourceRef[]): (string | undefined)[] {
    return refs.map(ref => this.cluster.condition(ref)?.split(/[ :]/)[1]);
  }
}

/** Runs turns of one process at the same time; its clock goes on, so that no batch waits for company for ever. */
export async function atOnce(operator: KvProcess, ...refs: readonly ResourceRef[]): Promise<void> {
  let isDone = false;
  const turns = Promise.all(refs.map(ref => operator.turn(ref))).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await new Promise(resolve => setImmediate(resolve));
    operator.clock.advance(250);
  }
  await turns;
}

/** Names `n000`, `n001`, … with one value. */
export function names(count: number, value = 'x'): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, n) => [`n${String(n).padStart(3, '0')}`, value]),
  );
}
