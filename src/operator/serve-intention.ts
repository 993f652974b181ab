import { ConsulIntentionKind } from '../reconcilers/intention/index.ts';
import { DependencyWatch } from '../mirror/dependency-watch.ts';
import type { Base } from './base.ts';
import { CONSUL_INTENTIONS } from './kinds.ts';
import { ServedKind } from './served-kind.ts';
import type { ServedKindWithTurn } from './workforce.ts';

const CONCURRENT_TURNS = 128;

/** ConsulIntention, with the entries of Consul that its resources share, and those that they wait for. */
export function serveConsulIntention(base: Base): ServedKindWithTurn {
  const { intentionMirror, primaryDatacenter, datacenter } = base;
  const served = new ServedKind(base, {
    type: CONSUL_INTENTIONS,
    concurrency: CONCURRENT_TURNS,
    // Also while standing by. What comes before Consul was read is opened for when that is done.
    onPresent: () => {
      if (base.isKnown()) intentionMirror.open();
    },
  });
  const dependencies = new DependencyWatch({ ...base, datacenter: primaryDatacenter });
  const kind = new ConsulIntentionKind({
    ...base,
    dependencies,
    primaryDatacenter: () => primaryDatacenter() ?? datacenter(),
  });
  dependencies.onChange(refs => {
    kind.askAgain(refs);
    served.controller.look(refs);
  });
  return {
    served,
    turn: served.turnWith(kind),
    settled: Promise.resolve(),
    problem: () => undefined,
  };
}
