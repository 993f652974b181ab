import { beforeEach, expect, test } from 'vitest';
import type { AgentSelf } from '../../../../src/consul/agent.ts';
import { RetryableError } from '../../../../src/core/errors.ts';
import { AgentMirror } from '../../../../src/mirror/agent-mirror.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { Ledger } from '../../../../src/ownership/ledger.ts';
import { LedgerSync } from '../../../../src/ownership/ledger-sync.ts';
import { AgentObserver } from '../../../../src/reconcilers/service/agent-observe.ts';
import { AgentRefused } from '../../../../src/reconcilers/service/agent-refused.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { ModelConsul } from '../../../support/model-consul.ts';
import { INSTALL, REF } from './agent-world.ts';
import { aResource, aVm } from './spec-builders.ts';

const signal = new AbortController().signal;
const logger = { debug() {}, info() {}, warn() {}, error() {} };
const nothing = { value: [], index: 0, filteredByAcl: false, knownLeader: true, elapsedMs: 1 };
const denied = new RetryableError('agent:read is missing', { code: 'CONSUL_DENIED', reason: 'ConsulDenied' });

let self: () => Promise<AgentSelf>;
let allowed: { agent: boolean; scripts: boolean };
beforeEach(() => {
  self = () => Promise.reject(denied);
  allowed = { agent: false, scripts: false };
});

async function observe(deleting = false) {
  const [consul, clock, ledger] = [new ModelConsul().asReads, new FakeClock(), new Ledger()];
  const timing = { clock, random: () => 0.5, logger, signal };
  const ledgerSync = new LedgerSync({
    ...timing,
    consul,
    ledger,
    installId: INSTALL,
    highestIndex: () => 0,
    onIndexFell: async () => {},
    onTampered: () => {},
  });
  await ledgerSync.load();
  const agentServices = { services: async () => nothing, checks: async () => nothing };
  const agent = { self: () => self() } as never;
  const observer = new AgentObserver({
    installId: INSTALL,
    ledger,
    ledgerSync,
    agentMirror: new AgentMirror({ ...timing, consul: { agent, agentServices } }),
    fingerprinter: new Fingerprinter(Buffer.alloc(32, 7)),
    cluster: { source: () => Promise.reject(new Error('asked for no Service')) },
    refused: new AgentRefused(clock),
    clock,
    allowed,
    judgeHosts: async () => () => undefined,
  });
  const resource = aResource({ registration: 'Agent', instances: [aVm()] });
  const subject = { ref: REF, resource, deleting, onDelete: 'Delete' } as const;
  return await observer.observe(subject, { fresh: false, removedJustNow: false, signal });
}

test('what is switched off is NotAllowed, also to a token that may not read the agent', async () => {
  expect((await observe()).desire).toMatchObject({ kind: 'refuse', reason: 'NotAllowed' });
});

test('what is to be written, or taken out, needs that right', async () => {
  await expect(observe(true)).rejects.toBe(denied);
  allowed = { agent: true, scripts: false };
  await expect(observe()).rejects.toBe(denied);
});

test('an agent that is there is looked at whatever is allowed: it may have instances from before', async () => {
  self = async () => ({ nodeName: 'agent-1', nodeId: 'm', runsScripts: false }) as AgentSelf;
  const { desire, facts } = await observe();
  expect([desire?.kind, facts.agent.node]).toEqual(['refuse', 'agent-1']);
});
