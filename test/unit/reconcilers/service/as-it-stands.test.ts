import { describe, expect, test } from 'vitest';
import { virtualNodeOf } from '../../../../src/commit/catalog-nodes.ts';
import { checkPlace } from '../../../../src/consul/service-ids.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { tendedEndpoints, tendedUnread } from '../../../../src/reconcilers/service/as-it-stands.ts';
import { planTended, type Tended } from '../../../../src/reconcilers/service/plan.ts';
import { checksToRun } from '../../../../src/reconcilers/service/running-checks.ts';
import type { SeenInstance } from '../../../../src/reconcilers/service/types.ts';
import {
  anInstance,
  aSidecar,
  CRITICAL,
  DECLARER,
  draining,
  factsOf,
  INSTALL,
  NOW_MS,
  REF,
  type Situation,
  standing,
  told,
} from './plan-builders.ts';
import { aResource, aVm } from './spec-builders.ts';

const fingerprinter = new Fingerprinter(Buffer.alloc(32, 7));

const endpoint = (pod: string) => {
  const id = `k8s:shop:orders:${pod}`;
  return { id, node: virtualNodeOf(INSTALL, id), ready: true, probe: true };
};
const P = anInstance(endpoint('p'));
const SIDE = aSidecar(endpoint('p'));
const Q = anInstance(endpoint('q'));
const VM = anInstance({ id: 'vm-1', node: 'vm', probe: true });
const RECORD = Object.fromEntries([P, Q, VM].map(({ name, fingerprint }) => [name, fingerprint]));
const STANDS = Object.fromEntries([P, Q, VM].map(one => [one.name, standing(one)]));
const HTTP = 'service:k8s:shop:orders:p:http';
const RESOURCE = aResource({
  kubernetes: { service: 'orders', port: 'renamed' },
  instances: [aVm({ node: 'vm' })],
  checks: [{ name: 'http', http: {} }],
});

const situated = (situation: Situation) => factsOf({ record: RECORD, stands: STANDS, ...situation });
const tendingOf = (situation: Situation) => ({
  ref: REF,
  facts: situated(situation),
  installId: INSTALL,
  fingerprinter,
});
const planned = (tended: Tended, situation: Situation): string => {
  const plan = planTended(tended, situated(situation), DECLARER);
  return plan === undefined ? 'nothing' : told(plan);
};
const withEndpoints = (present: ReadonlyMap<string, boolean> | undefined, situation: Situation = {}) =>
  planned(tendedEndpoints(RESOURCE, present, tendingOf(situation)), situation);
const unread = (situation: Situation) => planned(tendedUnread(tendingOf(situation)), situation);

const drainsQ = 'drain k8s:shop:orders:q [get, +proconsul-draining critical]';
const drained = (one: SeenInstance) => draining(one, NOW_MS);

describe('while the port of a Service is not known', () => {
  const both = new Map<string, boolean>([P, Q].map(({ service }) => [service.id, true]));

  test('endpoints stay as long as they are there', () => {
    expect(withEndpoints(both)).toBe('nothing');
  });

  test('one that has left begins to drain', () => {
    expect(withEndpoints(new Map([[P.service.id, true]]))).toBe(drainsQ);
  });

  test('one that is not ready any more is critical', () => {
    expect(withEndpoints(new Map(both).set(P.service.id, false))).toBe(
      'health k8s:shop:orders:p [proconsul-readiness critical]',
    );
  });

  test('one that is back drains no more', () => {
    expect(withEndpoints(both, { stands: { ...STANDS, [Q.name]: drained(standing(Q)) } })).toBe(
      'health k8s:shop:orders:q [-proconsul-draining]',
    );
  });

  test('a fixed instance that is declared no more begins to drain', () => {
    const spec = { kubernetes: { service: 'orders' } };
    const plan = planned(tendedEndpoints(aResource(spec), both, tendingOf({})), {});
    expect(plan).toBe('drain vm-1 [get, +proconsul-draining critical]');
  });
});

describe('while nobody knows the endpoints', () => {
  test('none begins to drain, and none ends', () => {
    expect(withEndpoints(undefined)).toBe('nothing');
    expect(withEndpoints(undefined, { stands: { ...STANDS, [Q.name]: drained(standing(Q)) } })).toBe(
      'nothing',
    );
  });

  test('what their checks find is written', () => {
    expect(withEndpoints(undefined, { verdicts: { [HTTP]: CRITICAL, 'service:vm-1:http': CRITICAL } })).toBe(
      'health vm-1 [http critical]; health k8s:shop:orders:p [http critical]',
    );
  });

  test('their checks are run at the ports that they have', () => {
    const { wish } = tendedEndpoints(RESOURCE, undefined, tendingOf({}));
    const booked = checksToRun(wish, situated({}), { installId: INSTALL, ref: REF });
    const [one] = booked.filter(({ place }) => place === checkPlace(P.node.node, HTTP));
    expect(one?.spec.target).toMatchObject({ host: P.service.address, port: P.service.port });
    expect(booked).toHaveLength(3);
  });
});

describe('while the resource cannot be read', () => {
  test('nothing is drained or ended', () => {
    expect(unread({})).toBe('nothing');
    expect(unread({ stands: { ...STANDS, [Q.name]: drained(standing(Q)) } })).toBe('nothing');
  });

  test('what checks find is written, and sidecars follow', () => {
    const record = { ...RECORD, [SIDE.name]: SIDE.fingerprint };
    const stands = { ...STANDS, [SIDE.name]: standing(SIDE) };
    expect(unread({ record, stands, verdicts: { [HTTP]: CRITICAL } })).toBe(
      'health k8s:shop:orders:p [http critical]; health k8s:shop:orders:p-sidecar-proxy [proconsul-instance critical]',
    );
  });
});
