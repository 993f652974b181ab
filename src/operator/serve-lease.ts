import { randomUUID } from 'node:crypto';
import { ConsulLeaderLeaseKind } from '../reconcilers/lease/index.ts';
import { PRIORITY } from '../runtime/queue.ts';
import type { Base } from './base.ts';
import { CONSUL_LEADER_LEASES } from './kinds.ts';
import { KubeLeaseCluster } from './lease-cluster.ts';
import { BY_NAMESPACE, LeaseIndex, namespaceOf } from './lease-index.ts';
import { endStraySessions, leaseOf } from './lease-strays.ts';
import { ServedKind } from './served-kind.ts';
import type { ServedKindWithTurn } from './workforce.ts';

const CONCURRENT_TURNS = 128;

/** ConsulLeaderLease, with the Pods, Services and EndpointSlices that its resources need, and the sessions that they hold. */
export function serveConsulLeaderLease(base: Base): ServedKindWithTurn {
  const served: ServedKind = new ServedKind(base, {
    type: CONSUL_LEADER_LEASES,
    concurrency: CONCURRENT_TURNS,
    indexes: { [BY_NAMESPACE]: namespaceOf },
    // Also while standing by, so that whoever takes over knows the Pods already.
    onPresent: () => cluster.open(),
  });
  const { resources, controller } = served;
  const cluster = new KubeLeaseCluster(base, {
    leases: new LeaseIndex(resources),
    look: (refs, priority) => controller.look(refs, priority),
  });
  base.sessionMirror.subscribe((all, moved) => {
    controller.look(
      moved.map(leaseOf).filter(ref => ref !== undefined),
      PRIORITY.specChange,
    );
    void endStraySessions(all, {
      ...base,
      exists: ({ namespace, name }) => resources.get(namespace, name) !== undefined,
      isAbsenceKnown: ({ namespace }) => served.isListed(namespace),
    });
  });
  const kind = new ConsulLeaderLeaseKind({ ...base, cluster, drawAttempt: randomUUID });
  return {
    served,
    turn: served.turnWith(kind),
    settled: Promise.resolve(),
    problem: () => cluster.problem(),
  };
}
