import { expect, test } from 'vitest';
import { ProbeRunner } from '../../src/probes/runner.ts';
import type { ProbeResult, ProbeSpec, ProbeStatus, ProbeTarget } from '../../src/probes/spec.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { HealthServer } from '../support/health-server.ts';
import { aGrpcTarget, anHttpTarget, aProber, aTcpTarget, Listener } from '../support/probe-targets.ts';
import { until } from '../support/until.ts';

function aRunner(places?: number) {
  const told = new Map<string, ProbeResult[]>();
  const runner = new ProbeRunner({
    probe: aProber(),
    clock: systemClock,
    random: Math.random,
    onResult: (id, result) => void told.set(id, [...(told.get(id) ?? []), result]),
    onUnknown: (id, why) => {
      throw new Error(`${id}: ${why}`);
    },
    ...(places !== undefined && { places }),
  });
  const statuses = (id: string): ProbeStatus[] => (told.get(id) ?? []).map(({ status }) => status);
  return { runner, told, statuses };
}

function every(target: ProbeTarget, spec: Partial<ProbeSpec> = {}): ProbeSpec {
  const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 1 };
  return { target, intervalMs: 500, timeoutMs: 5_000, thresholds, ...spec };
}

test('of 200 checks, 20 whose targets hang cost nobody but themselves', async () => {
  const asked = new Map<string, number>();
  await using server = await Listener.http(({ url = '' }, response) => {
    asked.set(url, (asked.get(url) ?? 0) + 1);
    if (!url.startsWith('/hangs')) response.end('ok');
  });
  const { runner, statuses, told } = aRunner(32);
  const paths = Array.from({ length: 200 }, (_, n) => (n % 10 === 0 ? `/hangs/${n}` : `/answers/${n}`));
  const [hanging, answering] = [
    paths.filter(path => path.startsWith('/hangs')),
    paths.filter(path => path.startsWith('/answers')),
  ];
  for (const path of paths) {
    const timeoutMs = path.startsWith('/hangs') ? 2_000 : 5_000;
    runner.set(path, every(anHttpTarget(server.port, { path }), { timeoutMs }), undefined);
  }
  await until(() => [...hanging, ...answering].every(path => told.has(path)));
  // From here on it is known who hangs: they take turns on half of the places, the others run on their beat.
  const before = new Map(asked);
  const runsOf = (path: string): number => (asked.get(path) ?? 0) - (before.get(path) ?? 0);
  await until(() => answering.every(path => runsOf(path) >= 6));
  const counts = answering.map(runsOf);
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2);
  expect(Math.max(...hanging.map(runsOf))).toBeLessThan(Math.min(...counts));
  for (const path of answering) expect(statuses(path)).toEqual(['passing']);
  for (const path of hanging)
    expect(told.get(path)).toEqual([{ status: 'critical', output: 'no answer within 2000 ms' }]);
  await runner.stop();
  await until(() => server.open === 0);
});

test('an HTTP, a TCP and a gRPC target go bad and good again, and their checks with them', async () => {
  let code = 200;
  await using web = await Listener.http((_, response) => response.writeHead(code).end());
  const health = await HealthServer.start();
  health.services.set('', 'SERVING');
  let tcp = await Listener.tcp(() => {});
  const { port } = tcp;
  const { runner, told, statuses } = aRunner();
  runner.set('http', every(anHttpTarget(web.port)), undefined);
  runner.set('grpc', every(aGrpcTarget(health.port)), undefined);
  runner.set('tcp', every(aTcpTarget(port)), undefined);
  const all = (status: ProbeStatus) => () =>
    ['http', 'grpc', 'tcp'].every(id => runner.verdict(id)?.status === status);
  await until(all('passing'));

  code = 500;
  health.services.set('', 'NOT_SERVING');
  await tcp[Symbol.asyncDispose]();
  await until(all('critical'));

  code = 204;
  health.services.set('', 'SERVING');
  tcp = await Listener.tcp(() => {}, '127.0.0.1', port);
  await until(all('passing'));

  await runner.stop();
  for (const id of told.keys()) expect(statuses(id)).toEqual(['passing', 'critical', 'passing']);
  await tcp[Symbol.asyncDispose]();
  health.close();
});

test('thresholds hold: one bad answer among good ones is never told', async () => {
  let run = 0;
  await using web = await Listener.http((_, response) =>
    response.writeHead(run++ % 3 === 2 ? 500 : 200).end(),
  );
  const { runner, statuses } = aRunner();
  const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 2 };
  runner.set('http', every(anHttpTarget(web.port), { thresholds, intervalMs: 20 }), undefined);
  await until(() => run > 12);
  await runner.stop();
  expect(statuses('http')).toEqual(['passing']);
});
