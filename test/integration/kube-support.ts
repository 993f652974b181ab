import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { createKubeClient } from '../../src/kube/http-client.ts';
import type { ResourceType } from '../../src/kube/types.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { eventually } from '../support/eventually.ts';
import { KubeApi, type KubeObject } from '../support/kube-api.ts';
import { writeKubeconfig } from '../../tools/sandbox/kubeconfig.ts';

/** A kind of the test's own on the sandbox's API server, and things that are closed in the end. */
export class KubeWorld {
  readonly api = new KubeApi({
    apiServerUrl: inject('sandbox').apiServerUrl,
    caFile: inject('sandbox').caFile,
    token: inject('sandbox').adminToken,
  });
  readonly type: ResourceType = {
    group: `${randomBytes(4).toString('hex')}.test.proconsul.dev`,
    version: 'v1',
    plural: 'widgets',
    kind: 'Widget',
    namespaced: true,
  };
  readonly #folder = mkdtempSync(join(tmpdir(), 'kube-world-'));
  readonly #closing: (() => Promise<unknown>)[] = [];

  /** With the kind installed and served. */
  static async create(): Promise<KubeWorld> {
    const world = new KubeWorld();
    const crd = widgetCrd(world.type.group);
    await world.api.create(crd);
    world.closeLater(() => world.api.delete(crd));
    await eventually(() => world.api.list(world.widget('any')), { what: 'the CRD is served' });
    return world;
  }

  /** To be closed before what was created earlier. */
  closeLater(close: () => Promise<unknown>): void {
    this.#closing.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closing.toReversed()) await close();
    await rm(this.#folder, { recursive: true });
  }

  /** A client of the sandbox's API server, or of what stands in front of it. */
  async client(
    options: { server?: string; token?: string; caFile?: string; clock?: Clock } = {},
  ): Promise<KubeClient> {
    const { apiServerUrl, caFile, adminToken } = inject('sandbox');
    const kubeconfig = join(this.#folder, randomBytes(4).toString('hex'));
    await writeKubeconfig(kubeconfig, {
      server: options.server ?? apiServerUrl,
      caFile: options.caFile ?? caFile,
      token: options.token ?? adminToken,
    });
    const client = createKubeClient({ clock: options.clock ?? systemClock, kubeconfig });
    this.closeLater(() => client.close());
    return client;
  }

  widget(
    name: string,
    fields: { namespace?: string; size?: number; finalizers?: string[] } = {},
  ): KubeObject {
    const { namespace = 'default', size = 1, finalizers = [] } = fields;
    return {
      apiVersion: `${this.type.group}/v1`,
      kind: 'Widget',
      metadata: { name, namespace, finalizers },
      spec: { size },
    };
  }
}

function widgetCrd(group: string): KubeObject {
  const status = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const spec = { type: 'object', properties: { size: { type: 'integer', maximum: 100 } } };
  const openAPIV3Schema = { type: 'object', properties: { spec, status } };
  const version = {
    name: 'v1',
    served: true,
    storage: true,
    subresources: { status: {} },
    schema: { openAPIV3Schema },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `widgets.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind: 'Widget', plural: 'widgets', singular: 'widget', listKind: 'WidgetList' },
      versions: [version],
    },
  };
}
