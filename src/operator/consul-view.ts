import { virtualNodes } from '../commit/catalog-nodes.ts';
import { leasesNode } from '../commit/lease-sessions.ts';
import type { WriteGate } from '../commit/write-gate.ts';
import type { ConsulClient } from '../consul/client.ts';
import type { Clock, Random } from '../core/clock.ts';
import { parseInstanceName } from '../core/instance-names.ts';
import { parseClaimName } from '../core/intention-claims.ts';
import { resourceKey, type ResourceRef } from '../core/resource.ts';
import { AgentMirror } from '../mirror/agent-mirror.ts';
import { IntentionMirror } from '../mirror/intention-mirror.ts';
import { KeyMirror } from '../mirror/key-mirror.ts';
import { KeyWatcher } from '../mirror/key-watcher.ts';
import { ServiceMirror } from '../mirror/service-mirror.ts';
import { SessionMirror } from '../mirror/session-mirror.ts';
import { catalogInstances } from '../mirror/tracked-instances.ts';
import { Fingerprinter } from '../ownership/fingerprint.ts';
import { Ledger } from '../ownership/ledger.ts';
import { LedgerSync } from '../ownership/ledger-sync.ts';
import { PRIORITY, type Priority } from '../runtime/queue.ts';
import type { Logger } from '../telemetry/logger.ts';
import { Knowledge } from './knowledge.ts';

export interface ConsulViewOptions {
  readonly consul: ConsulClient;
  readonly gate: WriteGate;
  readonly installId: string;
  /** As set; undefined: that of the agent. */
  readonly datacenter: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly look: (refs: readonly ResourceRef[], priority: Priority) => void;
  /** Everything is known (again). */
  readonly onLoaded: () => void;
}

/** What this process knows of Consul: who owns what, and what stands where something is owned or declared. */
export interface ConsulView {
  readonly fingerprinter: Fingerprinter;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  /** Keys. */
  readonly mirror: KeyMirror;
  readonly watcher: KeyWatcher;
  readonly intentionMirror: IntentionMirror;
  readonly serviceMirror: ServiceMirror;
  readonly agentMirror: AgentMirror;
  /** Of leases. */
  readonly sessionMirror: SessionMirror;
  readonly knowledge: Knowledge;
}

/** Puts the parts together; whoever is concerned by what they see is looked at. */
export function createConsulView(options: ConsulViewOptions): ConsulView {
  const { consul, gate, installId, datacenter, look, onLoaded, ...timing } = options;
  const fingerprinter = new Fingerprinter();
  const ledger = new Ledger();
  const mirror = new KeyMirror(fingerprinter);
  const following = { ...timing, consul, onIndexFell: () => knowledge.indexFell() };
  const watcher = new KeyWatcher({ ...following, mirror });
  const intentionMirror = new IntentionMirror({
    ...following,
    datacenter: () => knowledge.primaryDatacenter,
  });
  const serviceMirror = new ServiceMirror({ ...following, virtualNodes: virtualNodes(installId) });
  const agentMirror = new AgentMirror({ ...timing, consul });
  const ledgerSync = new LedgerSync({
    ...following,
    ledger,
    installId,
    highestIndex: () => mirror.highestIndex,
    onTampered: ref => {
      ledger.mistrust(ref);
      look([ref], PRIORITY.specChange);
    },
  });
  const knowledge: Knowledge = new Knowledge({
    ...following,
    gate,
    installId,
    datacenter,
    fingerprinter,
    ledger,
    ledgerSync,
    watcher,
    intentionMirror,
    serviceMirror,
    onLoaded,
  });
  const sessionMirror = new SessionMirror({ ...timing, consul, node: leasesNode(installId) });

  // While everything is being read, what is read is no news.
  const lookAtMoved = (refs: readonly ResourceRef[]): void =>
    look(refs, knowledge.missing ? PRIORITY.resync : PRIORITY.specChange);
  mirror.onChange(lookAtMoved);
  intentionMirror.onChange(lookAtMoved);
  serviceMirror.onChange(lookAtMoved);
  agentMirror.onChange(lookAtMoved);
  // Whoever let go is at it already and needs no turn for its own doing.
  ledger.onRelease((names, by) => {
    const self = by && resourceKey(by);
    const released = [...names];
    const concerned = [
      ...watcher.concernedBy(released),
      ...intentionMirror.concernedBy(released.flatMap(name => parseClaimName(name)?.destination ?? [])),
      ...serviceMirror.concernedBy(catalogInstances(released)),
      ...agentMirror.concernedBy(released.flatMap(agentId)),
    ];
    look(
      concerned.filter(ref => resourceKey(ref) !== self),
      PRIORITY.specChange,
    );
  });
  return {
    fingerprinter,
    ledger,
    ledgerSync,
    mirror,
    watcher,
    intentionMirror,
    serviceMirror,
    agentMirror,
    sessionMirror,
    knowledge,
  };
}

function agentId(name: string): readonly string[] {
  const parsed = parseInstanceName(name);
  return parsed?.kind === 'agent' ? [parsed.id] : [];
}
