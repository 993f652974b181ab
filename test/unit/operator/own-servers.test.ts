import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.ts';
import { errorOfAnswer } from '../../../src/kube/errors.ts';
import type { KubeClient, KubeRequest } from '../../../src/kube/index.ts';
import { ownHosts, sparedHosts } from '../../../src/operator/own-servers.ts';

const { signal } = new AbortController();

function configured(addresses: string) {
  const parsed = parseConfig({ CONSUL_HTTP_ADDR: addresses });
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.config;
}

test.each([
  [
    'names and addresses',
    'http://consul-a:8500,10.0.0.5:8500',
    '10.1.0.1:6443',
    ['consul-a', '10.0.0.5', '10.1.0.1'],
  ],
  ['IPv6 addresses', 'http://[fd00::1]:8500', '[fd00::2]:443', ['fd00::1', 'fd00::2']],
  ['one machine', 'http://127.0.0.1:8500,127.0.0.1:8510', '127.0.0.1:6443', ['127.0.0.1']],
])('the hosts of Consul and of the API server are known: %s', (_, addresses, host, hosts) => {
  expect(ownHosts({ config: configured(addresses), client: { host } as never })).toEqual(hosts);
});

function spared(answer: (request: KubeRequest) => unknown, peers: () => Promise<readonly string[]>) {
  const asked: KubeRequest[] = [];
  const client = {
    host: '10.1.0.1:6443',
    request: async (request: KubeRequest) => {
      asked.push(request);
      return answer(request);
    },
  } as Partial<KubeClient> as KubeClient;
  const hosts = sparedHosts({
    config: configured('http://consul:8500'),
    client,
    consul: { agent: { peers } },
    signal,
  });
  return { ...hosts, asked };
}

const slices = {
  items: [{ endpoints: [{ addresses: ['172.18.0.2', 'fd01::2'] }] }, {}, { endpoints: [{}] }],
};
const peers = async () => ['10.0.0.5:8300', '[fd00::5]:8300'];

test('so are those that stand behind them', async () => {
  const { servers, discover, asked } = spared(() => slices, peers);
  expect(servers()).toEqual(['consul', '10.1.0.1']);
  expect(await discover()).toEqual(['10.0.0.5', 'fd00::5', '172.18.0.2', 'fd01::2']);
  expect(asked.map(({ path, query }) => [path, query?.['labelSelector']])).toEqual([
    ['/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', 'kubernetes.io/service-name=kubernetes'],
  ]);
});

test('an operator that may not look there spares what it knows otherwise', async () => {
  const forbidden = () => {
    throw errorOfAnswer({ method: 'GET', host: '10.1.0.1:6443' }, 403, undefined);
  };
  expect(await spared(forbidden, peers).discover()).toEqual(['10.0.0.5', 'fd00::5']);
});

test('what cannot be asked is not taken for nothing', async () => {
  const away = () => Promise.reject(new Error('away'));
  await expect(spared(() => slices, away).discover()).rejects.toThrow('away');
  await expect(spared(away, peers).discover()).rejects.toThrow('away');
});
