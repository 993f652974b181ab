import { styleText } from 'node:util';
import Table from 'cli-table3';
import type { ConsulServiceStatus } from '../../src/api/v1alpha1/consulservice.ts';
import type { KubeObject } from '../../src/kube/index.ts';

export interface Row {
  readonly kind: string;
  readonly name: string;
  readonly ready: string;
  readonly reason: string;
  /** Key, prefix, destination or service. */
  readonly place: string;
  readonly drift: string;
  readonly message: string;
}

export function rowOf({ kind = '', metadata, spec, status }: KubeObject): Row {
  const { key, prefix, destination } = (spec ?? {}) as {
    key?: string;
    prefix?: string;
    destination?: string;
  };
  const { conditions = [], effective } = (status ?? {}) as ConsulServiceStatus;
  const find = (type: string) => conditions.find(condition => condition.type === type);
  const ready = find('Ready');
  return {
    kind,
    name: `${metadata.namespace}/${metadata.name}`,
    ready: ready?.status ?? '',
    reason: ready?.reason ?? '',
    place: key ?? prefix ?? destination ?? effective?.name ?? '',
    drift: find('Drifted')?.status ?? '',
    message: ready?.message ?? 'nobody has looked at it yet',
  };
}

export function renderTable(rows: readonly Row[]): string {
  const table = new Table({
    head: ['Kind', 'Resource', 'Ready', 'Reason', 'In Consul', 'Drift'].map(title =>
      styleText('bold', title),
    ),
    // Its own colours do not ask whether anybody can see them.
    style: { head: [], border: [], compact: true },
  });
  for (const { kind, name, ready, reason, place, drift } of rows) {
    table.push([kind, name, coloured(ready), reason, place, drift]);
  }
  return table.toString();
}

function coloured(ready: string): string {
  if (ready === 'True') return styleText('green', ready);
  return ready === '' ? ready : styleText('red', ready);
}
