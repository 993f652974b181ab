import { RetryableError } from '../../core/errors.ts';
import type { Clock } from '../../core/clock.ts';
import { parseInstanceName } from '../../core/instance-names.ts';
import type { AgentMirror, AgentView } from '../../mirror/agent-mirror.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import type { OwnerRecord } from '../../ownership/record.ts';
import type { HostVerdict } from '../../probes/host-judge.ts';
import { agentNamesIn } from './agent-compare.ts';
import { type AgentDesire, type AgentDesiring, desireAgentService } from './agent-desire.ts';
import type { AgentRefused } from './agent-refused.ts';
import type { AgentFacts } from './agent-types.ts';
import type { ServiceCluster } from './cluster.ts';
import type { LookOptions, ServiceSubject } from './observe.ts';

/** What one look gave at a resource of `registration: Agent`. */
export interface AgentObservation {
  /** Undefined: it is being deleted, or cannot be read. */
  readonly desire: AgentDesire | undefined;
  readonly facts: AgentFacts;
  /** Ends the turn that looked. */
  readonly signal: AbortSignal;
}

export interface AgentObserverOptions {
  readonly installId: string;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly agentMirror: AgentMirror;
  readonly refused: AgentRefused;
  readonly fingerprinter: Fingerprinter;
  readonly cluster: ServiceCluster;
  readonly clock: Clock;
  readonly allowed: AgentDesiring['allowed'];
  readonly judgeHosts: () => Promise<HostVerdict | undefined>;
}

/** Finds out what must be known before planning what an agent is to have. */
export class AgentObserver {
  readonly #options: AgentObserverOptions;

  constructor(options: AgentObserverOptions) {
    this.#options = options;
  }

  /** @throws RetryableError when the agent, Consul or the API server does not answer, or does not show all that is asked for. */
  async observe(subject: ServiceSubject, options: LookOptions): Promise<AgentObservation> {
    const { ledger, ledgerSync, clock, refused } = this.#options;
    const { ref, deleting } = subject;
    const record = await ledgerSync.currentRecord(ref, { ...options, deleting });
    const agent = await this.#look(subject, record, options);
    const desire = await this.#desire(subject, agent, options.signal);
    this.#track(subject, desire, record);
    const { complete, asOf } = ledger.claims;
    if (complete && asOf < 0) await ledgerSync.refreshClaims(0);
    const facts = {
      record,
      agent,
      rival: (name: string) => ledger.rivalFor(name, ref),
      claims: ledger.claims,
      refused: (name: string, fingerprint: string) => refused.find(name, fingerprint),
      nowMs: clock.now(),
    };
    return { desire, facts, signal: options.signal };
  }

  /**
   * What stays does not depend on what an agent says, which may be out of reach for good; nor does what is switched off, where the
   * token need not have any right with the agent.
   */
  async #look(
    { ref, deleting, onDelete }: ServiceSubject,
    record: OwnerRecord | undefined,
    { fresh, signal }: LookOptions,
  ): Promise<AgentView> {
    const isRetained = deleting && (onDelete ?? record?.head.onDelete ?? 'Retain') === 'Retain';
    if (isRetained) return NOBODY;
    const { agentMirror, allowed } = this.#options;
    const isNeeded = deleting || allowed.agent;
    return await agentMirror.current({ fresh, signal, reader: ref }).catch((error: unknown) => {
      if (isNeeded || !(error instanceof RetryableError)) throw error;
      return NOBODY;
    });
  }

  async #desire(
    { resource, deleting }: ServiceSubject,
    agent: AgentView,
    signal: AbortSignal,
  ): Promise<AgentDesire | undefined> {
    if (resource === undefined || deleting) return undefined;
    const { installId, fingerprinter, cluster, allowed, judgeHosts } = this.#options;
    const { namespace } = resource.metadata;
    const service = resource.spec.kubernetes?.service;
    const endpoints =
      service === undefined ? undefined : await cluster.source({ namespace, service }, signal);
    const refusalOf = await judgeHosts();
    if (refusalOf === undefined) throw serversUnknown();
    return desireAgentService({
      resource,
      installId,
      endpoints,
      fingerprinter,
      agent,
      allowed,
      refusalOf,
    });
  }

  #track({ ref }: ServiceSubject, desire: AgentDesire | undefined, record: OwnerRecord | undefined): void {
    const wished = desire?.kind === 'desired' ? [...desire.wish.instances.keys()] : [];
    const names = [...agentNamesIn(record).keys(), ...wished];
    this.#options.agentMirror.track(
      ref,
      names.map(name => parseInstanceName(name)?.id ?? ''),
    );
  }
}

const NOBODY: AgentView = {
  node: '',
  memory: '',
  runsScripts: false,
  isWhole: false,
  service: () => undefined,
  checksOf: () => [],
  criticalMs: () => 0,
};

function serversUnknown(): RetryableError {
  const message = 'the addresses of Consul and of the API server, which must not be probed, are not known';
  return new RetryableError(message, { code: 'OWN_SERVERS_UNKNOWN', reason: 'Progressing' });
}
