import { createHostJudge } from '../probes/host-judge.ts';
import { ConsulServiceKind } from '../reconcilers/service/index.ts';
import type { Base } from './base.ts';
import { BY_SERVICE, followedBy } from './followed-services.ts';
import { createHealthBook } from './health-checks.ts';
import { CONSUL_SERVICES } from './kinds.ts';
import { sparedHosts } from './own-servers.ts';
import { ServedKind } from './served-kind.ts';
import { KubeServiceCluster } from './service-cluster.ts';
import type { ServedKindWithTurn } from './workforce.ts';

const CONCURRENT_TURNS = 128;

/** ConsulService, with the Services that its resources follow, what stands in the catalog, and the checks that are run of it. */
export function serveConsulService(base: Base): ServedKindWithTurn {
  const served: ServedKind = new ServedKind(base, {
    type: CONSUL_SERVICES,
    concurrency: CONCURRENT_TURNS,
    indexes: { [BY_SERVICE]: followedBy },
    // Also while standing by. What comes before Consul was read is opened for when that is done.
    onPresent: resource => {
      if (base.isKnown()) base.serviceMirror.open();
      cluster.saw(resource);
    },
  });
  const { resources, controller } = served;
  const cluster = new KubeServiceCluster(base, {
    resources,
    look: (refs, priority) => controller.look(refs, priority),
  });
  const health = createHealthBook(base);
  health.onChange(ref => controller.look([ref]));
  const { config, clock } = base;
  const kind = new ConsulServiceKind({
    ...base,
    cluster,
    health,
    allowed: config.agentMode,
    judgeHosts: createHostJudge({ allow: config.probeAllow, ...sparedHosts(base), clock }),
  });
  return {
    served,
    turn: served.turnWith(kind),
    settled: Promise.resolve(),
    problem: () => cluster.problem(),
    standDown: () => health.stop(),
  };
}
