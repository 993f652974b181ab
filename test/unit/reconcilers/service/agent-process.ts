import { ROOT_CONTEXT } from '@opentelemetry/api';
import { AgentRegistrations } from '../../../../src/commit/agent-registrations.ts';
import { GroupCommit } from '../../../../src/commit/group-commit.ts';
import { WriteGate } from '../../../../src/commit/write-gate.ts';
import type { AgentRegistration } from '../../../../src/consul/agent-services.ts';
import type { Answer } from '../../../../src/consul/types.ts';
import { AgentMirror } from '../../../../src/mirror/agent-mirror.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { Ledger } from '../../../../src/ownership/ledger.ts';
import { LedgerSync } from '../../../../src/ownership/ledger-sync.ts';
import { listedNames } from '../../../../src/ownership/record.ts';
import { AgentPart } from '../../../../src/reconcilers/service/agent-part.ts';
import type { KubernetesSource } from '../../../../src/reconcilers/service/endpoints.ts';
import type { ServicePlan } from '../../../../src/reconcilers/service/types.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { ModelConsul } from '../../../support/model-consul.ts';
import { createSoleTenure } from '../../../support/sole-tenure.ts';
import { INSTALL, ModelAgent, REF, type Spec } from './agent-world.ts';
import { aResource } from './spec-builders.ts';

const signal = new AbortController().signal;

/** All that carries out plans of agent mode, in front of an agent and a key/value store in memory. */
export class AgentProcess {
  readonly agent = new ModelAgent();
  readonly consul = new ModelConsul();
  readonly clock = new FakeClock();
  readonly ledger = new Ledger();
  readonly mirror: AgentMirror;
  readonly part: AgentPart;
  /** Runs in the place of a registration; what it throws the agent answered. */
  onRegister: (registration: AgentRegistration) => void = one => this.agent.register(one);
  source: KubernetesSource = { service: undefined, slices: [] };
  readonly deregistered: string[] = [];
  readonly #sync: LedgerSync;

  constructor() {
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const { consul, clock, ledger } = this;
    const timing = { clock, random: () => 0.5, logger, signal };
    const tenure = createSoleTenure(consul.store);
    const commits = new GroupCommit({
      txn: consul.txn,
      clock,
      othersRunnable: () => false,
      context: () => ROOT_CONTEXT,
      inSpan: (_turns, _operations, run) => run(),
    });
    this.#sync = new LedgerSync({
      ...timing,
      consul: consul.asReads,
      ledger,
      installId: INSTALL,
      highestIndex: () => 0,
      onIndexFell: async () => {},
      onTampered: () => {},
    });
    this.mirror = new AgentMirror({
      ...timing,
      consul: {
        agent: {
          self: async () => ({ nodeName: this.agent.node, nodeId: this.agent.memory, runsScripts: true }),
        } as never,
        agentServices: {
          services: async () => of([...this.agent.services.values()]),
          checks: async () => of([...this.agent.checks.values()]),
        },
      },
    });
    const allowed = { agent: true, scripts: true };
    const agentServices = {
      register: async (one: AgentRegistration) => this.onRegister(one),
      deregister: async (id: string) => {
        this.deregistered.push(id);
        this.agent.deregister(id);
      },
      maintain: async (id: string, reason: string | undefined) => this.agent.maintain(id, reason),
    };
    this.part = new AgentPart({
      ...timing,
      installId: INSTALL,
      ledger,
      ledgerSync: this.#sync,
      agentMirror: this.mirror,
      fingerprinter: new Fingerprinter(Buffer.alloc(32, 7)),
      cluster: { source: async () => this.source },
      allowed,
      judgeHosts: async () => () => undefined,
      gate: new WriteGate({ installId: INSTALL, dryRun: false, commits, tenure: () => tenure }),
      agentRegistrations: new AgentRegistrations({
        consul: { agentServices },
        dryRun: false,
        allowed,
        tenure: () => tenure,
      }),
      datacenter: () => 'dc1',
    });
  }

  async load(): Promise<void> {
    await this.#sync.load();
  }

  /** One turn; undefined: the resource is being deleted. @returns the last plan. */
  async turn(spec: Spec | undefined, onDelete: 'Delete' | 'Retain' = 'Delete'): Promise<ServicePlan> {
    const resource = spec && aResource({ registration: 'Agent', ...spec });
    const subject = { ref: REF, resource, deleting: spec === undefined, onDelete };
    for (let made = 0, removedJustNow = false; made < 20; made += 1) {
      const look = await this.part.look(subject, { fresh: false, removedJustNow, signal });
      const plan = look.plan();
      if (plan.kind !== 'change') return plan;
      await look.apply(plan.change);
      removedJustNow = this.ledger.record(REF) === undefined;
    }
    throw new Error('does not rest');
  }

  get recorded(): readonly string[] {
    const record = this.ledger.record(REF);
    return record === undefined ? [] : [...listedNames(record)].map(([name, state]) => `${name}=${state[0]}`);
  }
}

function of<T>(value: T): Answer<T> {
  return { value, index: 0, filteredByAcl: false, knownLeader: true, elapsedMs: 1 };
}
