import { expect, test } from 'vitest';
import { AbortedError } from '../../../src/core/errors.ts';
import type { KubeClient, KubeRequest } from '../../../src/kube/index.ts';
import { guardedClient } from '../../../src/operator/guarded-client.ts';

const OWN = new AbortController().signal;

/** A client whose requests stay under way until they are aborted. */
function aClient(): { readonly client: KubeClient; readonly sent: KubeRequest[] } {
  const sent: KubeRequest[] = [];
  const request = (one: KubeRequest): Promise<never> => {
    sent.push(one);
    return new Promise((_, reject) => one.signal.addEventListener('abort', () => reject(one.signal.reason)));
  };
  const client = { host: 'https://api', contextNamespace: undefined, request } as unknown as KubeClient;
  return { client, sent };
}

test('a write is given up when the lead ends', async () => {
  const lead = new AbortController();
  const { client } = aClient();
  const write = guardedClient(client, () => lead.signal).request({
    method: 'PATCH',
    path: '/x',
    signal: OWN,
  });
  lead.abort(new AbortedError('the lead was lost'));
  await expect(write).rejects.toThrow('the lead was lost');
});

test('a write is looked at once more right before it is sent', () => {
  const { client, sent } = aClient();
  let mayWrite = true;
  const rightToWrite = (): AbortSignal => {
    if (!mayWrite) throw new AbortedError('not any more');
    return OWN;
  };
  void guardedClient(client, rightToWrite).request({ method: 'POST', path: '/x', signal: OWN });
  mayWrite = false;
  expect(() => sent[0]?.beforeSend?.()).toThrow('not any more');
});

test('whoever does not lead reads and does not write', async () => {
  const { client, sent } = aClient();
  const guarded = guardedClient(client, () => {
    throw new AbortedError('this replica does not lead');
  });
  void guarded.request({ method: 'GET', path: '/x', signal: OWN });
  await expect(guarded.request({ method: 'DELETE', path: '/x', signal: OWN })).rejects.toThrow(AbortedError);
  expect(sent.map(({ method }) => method)).toEqual(['GET']);
});
