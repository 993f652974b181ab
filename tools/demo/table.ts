import { styleText } from 'node:util';
import Table from 'cli-table3';
import type { ConsulKVStatus } from '../../src/api/v1alpha1/consulkv.ts';
import type { KubeObject } from '../../src/kube/index.ts';

export interface Row {
  readonly name: string;
  readonly ready: string;
  readonly reason: string;
  readonly path: string;
  readonly keys: string;
  readonly drift: string;
  readonly message: string;
}

export function rowOf({ metadata, spec, status }: KubeObject): Row {
  const { key, prefix } = (spec ?? {}) as { key?: string; prefix?: string };
  const { conditions = [], keys } = (status ?? {}) as ConsulKVStatus;
  const find = (type: string) => conditions.find(condition => condition.type === type);
  const ready = find('Ready');
  return {
    name: `${metadata.namespace}/${metadata.name}`,
    ready: ready?.status ?? '',
    reason: ready?.reason ?? '',
    path: key ?? prefix ?? '',
    keys: keys === undefined ? '' : String(keys),
    drift: find('Drifted')?.status ?? '',
    message: ready?.message ?? 'nobody has looked at it yet',
  };
}

export function renderTable(rows: readonly Row[]): string {
  const table = new Table({
    head: ['Resource', 'Ready', 'Reason', 'Path', 'Keys', 'Drift'].map(title => styleText('bold', title)),
    // Its own colours do not ask whether anybody can see them.
    style: { head: [], border: [], compact: true },
  });
  for (const { name, ready, reason, path, keys, drift } of rows) {
    table.push([name, coloured(ready), reason, path, keys, drift]);
  }
  return table.toString();
}

function coloured(ready: string): string {
  if (ready === 'True') return styleText('green', ready);
  return ready === '' ? ready : styleText('red', ready);
}
