import { ConsulKVKind } from '../reconcilers/kv/index.ts';
import { SourceReader } from '../reconcilers/kv/sources.ts';
import type { Base } from './base.ts';
import { CONSUL_KVS } from './kinds.ts';
import { ServedKind } from './served-kind.ts';
import { watchSources } from './sources.ts';
import { BY_SOURCE, referrers, sourcesOf } from './triggers.ts';
import type { ServedKindWithTurn } from './workforce.ts';

const CONCURRENT_TURNS = 128;

/** ConsulKV, with the ConfigMaps and Secrets that its resources read. */
export function serveConsulKV(base: Base): ServedKindWithTurn {
  const served = new ServedKind(base, {
    type: CONSUL_KVS,
    concurrency: CONCURRENT_TURNS,
    indexes: { [BY_SOURCE]: sourcesOf },
  });
  const { resources, controller } = served;
  const sources = watchSources(base, {
    referrers: (kind, object) => referrers(resources, kind, object),
    look: (refs, priority) => controller.look(refs, priority),
  });
  const kind = new ConsulKVKind({ ...base, sources: new SourceReader(sources.catalog) });
  return {
    served,
    turn: served.turnWith(kind),
    settled: sources.settled,
    problem: () => sources.problem(),
  };
}
