import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { eventually } from './eventually.ts';
import type { KubeApi, KubeObject } from './kube-api.ts';

const root = join(import.meta.dirname, '../..');

/** Applies all of `crds/`; resolves with them as stored once their resources are served. */
export async function installCrds(kube: KubeApi): Promise<readonly KubeObject[]> {
  const files = await readdir(join(root, 'crds'));
  const crds = await Promise.all(
    files.map(async file => parse(await readFile(join(root, 'crds', file), 'utf8'))),
  );
  return Promise.all(crds.map(crd => install(kube, crd as KubeObject)));
}

async function install(kube: KubeApi, crd: KubeObject): Promise<KubeObject> {
  await kube.apply(crd);
  const what = `${crd.metadata.name} is established`;
  const stored = await eventually(() => established(kube, crd), { what });
  const { group, versions, names } = stored['spec'];
  const [{ name: version }] = versions;
  await eventually(() => kube.call('GET', `/apis/${group}/${version}/${names.plural}?limit=1`), {
    what: `${names.plural} are served`,
  });
  return stored;
}

async function established(kube: KubeApi, crd: KubeObject): Promise<KubeObject> {
  const stored = await kube.get(crd);
  if (stored === undefined || !isTrue(stored, 'Established'))
    throw new Error(JSON.stringify(stored?.['status']));
  return stored;
}

export function isTrue(object: KubeObject, type: string): boolean {
  const conditions: readonly { readonly type: string; readonly status: string }[] =
    object['status']?.conditions ?? [];
  return conditions.some(condition => condition.type === type && condition.status === 'True');
}
