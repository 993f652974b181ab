/**
 * Who may import whom, written once: `import-directions.test.ts` holds every file of src/ to it, and ARCHITECTURE.md shows
 * what `directionsBlock` makes of it. A layer is a folder of src/; `main` is the files at its top.
 */
export interface Layer {
  readonly name: string;
  /** Layers it may use. */
  readonly uses: readonly string[];
  /** Layers of which it may know the types only: the interfaces it is handed. */
  readonly knows?: readonly string[];
}

export const LAYERS: readonly Layer[] = [
  { name: 'core', uses: [] },
  { name: 'api', uses: ['core'] },
  { name: 'config', uses: ['core'] },
  { name: 'telemetry', uses: ['core'] },
  { name: 'consul', uses: ['core'] },
  { name: 'kube', uses: ['core', 'api'] },
  { name: 'commit', uses: ['core', 'consul'] },
  { name: 'ownership', uses: ['core', 'consul', 'commit'] },
  { name: 'mirror', uses: ['core', 'consul', 'ownership'] },
  { name: 'election', uses: ['core', 'consul'] },
  { name: 'probes', uses: ['core'] },
  { name: 'runtime', uses: ['core', 'api'], knows: ['kube'] },
  {
    name: 'reconcilers',
    uses: ['core', 'api', 'consul', 'commit', 'ownership', 'mirror', 'probes'],
    knows: ['kube', 'runtime'],
  },
  {
    name: 'operator',
    uses: [
      'core',
      'api',
      'telemetry',
      'consul',
      'kube',
      'commit',
      'ownership',
      'mirror',
      'election',
      'probes',
      'runtime',
      'reconcilers',
    ],
    knows: ['config'],
  },
  {
    name: 'main',
    uses: ['core', 'config', 'telemetry', 'consul', 'kube', 'election', 'runtime', 'operator'],
  },
  { name: 'tools', uses: ['core', 'api', 'config', 'telemetry', 'consul', 'kube'] },
];

/** Constants alone, so open to every layer; not to pure files. */
export const OPEN_TO_ALL = 'telemetry/names.ts';

/** The only file outside of src/ that is read from it, for the version. */
export const OUTSIDE = { file: '../package.json', readBy: 'version.ts' } as const;

/**
 * Files that decide and do nothing else, so that they can be tested by tables: they use nothing but core, api and
 * one another, know types of everything, and neither wait, nor log, nor read a clock, nor draw a random number.
 */
export const PURE_FILES: readonly string[] = [
  'reconcilers/*/desire.ts',
  'reconcilers/*/plan.ts',
  'reconcilers/*/refusals.ts',
  'reconcilers/*/report.ts',
  'reconcilers/intention/{canonical,decide,entry,writes}.ts',
  'reconcilers/lease/{candidates,endpoints,labels,pods,routing,selector,sessions,slots,steps}.ts',
  'reconcilers/service/{checks,compare,decide,declared,drain,endpoints,fingerprints,health,marks,operations,running-checks,writes}.ts',
  'reconcilers/service/agent-{compare,decide,departures,desire,end,fingerprints,maintenance,plan,refusals,status,steps,tending}.ts',
  'commit/catalog-nodes.ts',
  'consul/{registration,service-ids}.ts',
  'election/{deadline,model,predecessor,renewal,seen-lock,state,timing}.ts',
  'ownership/{owner,record}.ts',
  'probes/{cadence,debounce,grpc-health,output,spec}.ts',
  'consul/types.ts',
];
export const PURE_LAYERS: readonly string[] = ['core', 'api'];
/** What one of them may use of a package all the same: it only computes. */
export const PURE_IMPORTS: readonly { readonly by: string; readonly from: string; readonly name: string }[] =
  [{ by: 'reconcilers/service/endpoints.ts', from: 'node:crypto', name: 'createHash' }];

/** A package and where it may be imported: a folder, which ends in `/`, or a file. */
export interface PackageOwners {
  readonly name: string;
  readonly owners: readonly string[];
}

export const PACKAGES: readonly PackageOwners[] = [
  { name: 'undici', owners: ['consul/transport.ts', 'kube/transport.ts'] },
  { name: '@kubernetes/client-node', owners: ['kube/'] },
  { name: '@grpc/grpc-js', owners: ['probes/grpc-probe.ts'] },
  { name: 'zod', owners: ['api/', 'config/', 'consul/', 'tools/'] },
  { name: 'pino', owners: ['telemetry/'] },
  {
    name: '@opentelemetry/api',
    owners: LAYERS.filter(({ name }) => !['core', 'api', 'config'].includes(name)).map(
      ({ name }) => `${name}/`,
    ),
  },
  { name: '@opentelemetry/*', owners: ['telemetry/'] },
  { name: 'yaml', owners: ['tools/'] },
];

/** What changes Consul reaches it through one place. */
export const WRITE_SIDE = {
  names: [
    'ConsulWrites',
    'TxnWrites',
    'createTxnWrites',
    'KvWrites',
    'createKv',
    'SessionWrites',
    'createSessions',
    'CatalogWrites',
    'createCatalog',
    'ConfigEntryWrites',
    'createConfigEntries',
    'ServiceWrites',
    'createServiceWrites',
    'AgentServiceWrites',
    'createAgentServices',
  ],
  of: 'consul/',
  openTo: ['consul/', 'commit/', 'election/'],
} as const;

/** Calls that change what no transaction can fence, by the part of the client, and the one file that may make them. */
export const GUARDED_CALLS = {
  of: 'configEntries',
  verbs: ['put', 'delete'],
  openTo: 'commit/intention-entries.ts',
} as const;

/** The list as ARCHITECTURE.md shows it, in a block fenced as `import-directions`. */
export function directionsBlock(): string {
  const width = Math.max(...LAYERS.map(({ name }) => name.length));
  const lines = LAYERS.map(({ name, uses, knows = [] }) => {
    const types = knows.length === 0 ? '' : `; types of ${knows.join(', ')}`;
    return `${name.padEnd(width)} -> ${uses.join(', ') || 'nothing'}${types}`;
  });
  return ['```import-directions', ...lines, '```'].join('\n');
}
