import { createKubeClient, createReflector, Store, collectionPath } from '../src/kube/index.ts';
import { systemClock as clock } from '../src/runtime/system-clock.ts';
const client = createKubeClient({ clock, kubeconfig: '/tmp/kubetest/kubeconfig' });
const signal = new AbortController().signal;
const W = { group: 'test.proconsul.dev', version: 'v1', plural: 'widgets', kind: 'Widget', namespaced: true };
const base = collectionPath(W, 'default');
const mem = () => { (globalThis as any).gc?.(); const m = process.memoryUsage(); return `rss ${(m.rss/1e6)|0} heap ${(m.heapUsed/1e6)|0}`; };
console.log('base', mem());
if (process.argv[2] === 'create') {
  const t = performance.now();
  await Promise.all(Array.from({ length: 5000 }, (_, i) => client.request({ method: 'POST', path: base, body: { apiVersion: 'test.proconsul.dev/v1', kind: 'Widget', metadata: { name: 'p' + i, finalizers: ['proconsul.dev/x'] }, spec: { size: 1 } }, signal }).catch((e) => e.code === 'KUBE_ALREADY_EXISTS' || console.log(e.message))));
  console.log('created', performance.now() - t);
}
for (const streaming of [true, false, true, false]) {
  const store = new Store({ handlers: { onUpsert() {}, onDelete() {}, onError: console.error } });
  const t = performance.now();
  const r = createReflector({ client, type: W, store, clock, random: Math.random, streaming });
  await r.synced;
  console.log(streaming ? 'stream' : 'list', Math.round(performance.now() - t), 'ms', store.size, mem());
  await r.close();
}
const t2 = performance.now();
let c: string | undefined; let n = 0;
do { const l: any = await client.request({ method: 'GET', path: base, query: { limit: 500, continue: c }, signal }); n += l.items.length; c = l.metadata.continue; } while (c);
console.log('raw list', Math.round(performance.now() - t2), n);
await client.close();
