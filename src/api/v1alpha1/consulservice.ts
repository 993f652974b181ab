import { z } from 'zod';
import { MAX_ADDRESS_CHARS } from './address-rules.ts';
import { effectiveSchema, specObject, statusObject } from './common.ts';
import {
  CONNECT_RULES,
  INSTANCE_RULES,
  KUBERNETES_RULES,
  MAX_CHECKS,
  MAX_DRAIN_SECONDS,
  MAX_ID_CHARS,
  MAX_INSTANCES,
  MAX_META,
  MAX_META_VALUE_BYTES,
  MAX_NODE_CHARS,
  MAX_TAGS,
  MAX_UPSTREAMS,
  REGISTRATIONS,
  RESOURCE_RULES,
  SERVICE_RULES,
  SIDECAR_RULES,
  UPSTREAM_RULES,
} from './consulservice-cel.ts';
import { serviceProblem } from './consulservice-problem.ts';
import { COLUMNS, type KindDefinition } from './definition.ts';
import {
  isObject,
  issueSentence,
  type Parsed,
  type ParsedSpec,
  parseResource,
  type Resource,
} from './resource.ts';
import { check, portNumber, VISIBLE } from './service-check.ts';

const label = z.string().min(1).max(63);
const metaValue = z.string().max(MAX_META_VALUE_BYTES).describe('Value of the name, at most 512 bytes.');

const tags = (description: string) =>
  z
    .array(z.string().min(1).max(255).regex(VISIBLE).describe('A tag, without control characters.'))
    .max(MAX_TAGS)
    .exactOptional()
    .meta({ description, 'x-kubernetes-list-type': 'set' });

const meta = (description: string) =>
  z.record(z.string(), metaValue).exactOptional().meta({ description, maxProperties: MAX_META });

const metaForm =
  'Names are letters, digits, "-" and "_", at most 128, not external-source and not beginning with "consul-" or "proconsul"';

const instance = z
  .object({
    id: z
      .string()
      .min(1)
      .max(MAX_ID_CHARS)
      .describe(
        'Service ID in Consul, as written here; no other instance of the node has it. Lower-case letters, digits, "-", "_", "." and ":", at most 128, not beginning with "k8s:" and not ending in "-sidecar-proxy". Another id is another instance.',
      ),
    address: z
      .string()
      .min(1)
      .max(MAX_ADDRESS_CHARS)
      .describe('Where clients and checks find it: an IP address or a DNS name. Not 0.0.0.0 or "::".'),
    port: portNumber
      .exactOptional()
      .describe('Its port, 1 to 65535. Needed by connect and by checks that name no port. Defaults to none.'),
    node: z
      .string()
      .min(1)
      .max(MAX_NODE_CHARS)
      .exactOptional()
      .describe(
        'Node in Consul on which it is registered, such as the host it runs on: never one that has a Consul agent. Made if it does not exist, and removed then with its last service. Lower-case letters, digits, "-", "_" and ".", at most 128, not beginning with "proconsul-". Only with registration: Catalog. Defaults to one of the operator\'s own nodes.',
      ),
    nodeAddress: z
      .string()
      .min(1)
      .max(MAX_ADDRESS_CHARS)
      .exactOptional()
      .describe(
        'Address of the node, used when the operator makes it: an IP address or a DNS name. Needs node. Defaults to address.',
      ),
    tags: tags('Tags of this instance, behind those of the service. At most 64.'),
    meta: meta(
      `Meta of this instance, at most 60 names together with those of the service, over which they win. ${metaForm}.`,
    ),
  })
  .meta({
    description: 'An instance with a fixed address: a VM, an appliance, a database.',
    'x-kubernetes-validations': INSTANCE_RULES,
  });

const kubernetes = z
  .object({
    service: label.describe(
      'Name of the Service, in the namespace of this resource. While it does not exist the reason is SourceNotFound.',
    ),
    port: label
      .exactOptional()
      .describe(
        'Name of the port of the Service whose target port the instances get. Needed when the Service has more than one port. Defaults to the only one.',
      ),
  })
  .exactOptional()
  .meta({
    description:
      'Every endpoint of a Kubernetes Service is an instance. Its readiness is its health: passing while it is ready, critical otherwise. One that terminates is drained, then removed.',
    'x-kubernetes-validations': KUBERNETES_RULES,
  });

const upstream = z
  .object({
    destinationName: z
      .string()
      .min(1)
      .max(128)
      .describe('Name of the service to reach. Letters, digits, "-", "_" and ".", at most 128.'),
    localBindPort: portNumber.describe('Port on the loopback address at which the sidecar offers it.'),
    datacenter: label
      .exactOptional()
      .describe('Consul datacenter of the service. Defaults to that of the sidecar.'),
  })
  .meta({
    description: 'A service that is reached through the sidecar.',
    'x-kubernetes-validations': UPSTREAM_RULES,
  });

const sidecar = z
  .object({
    port: portNumber
      .exactOptional()
      .describe(
        'Port at which the proxy takes connections of the mesh, at the address of the instance. Needed with registration: Catalog. Defaults, with Agent, to one that the agent chooses.',
      ),
    upstreams: z.array(upstream).max(MAX_UPSTREAMS).exactOptional().meta({
      description:
        'Services that are reached through the proxy. At most 64, each destination and each port once.',
      'x-kubernetes-list-type': 'atomic',
    }),
  })
  .exactOptional()
  .meta({
    description:
      'A proxy beside every instance, which speaks for it in the mesh. It is registered here; running it is up to you.',
    'x-kubernetes-validations': SIDECAR_RULES,
  });

const connect = z
  .object({
    native: z
      .boolean()
      .exactOptional()
      .describe(
        'True: the service takes connections of the mesh itself, without a proxy. Defaults to false.',
      ),
    sidecar,
  })
  .exactOptional()
  .meta({
    description: 'How the service takes part in the service mesh: native or by a sidecar, not both.',
    'x-kubernetes-validations': CONNECT_RULES,
  });

const weight = (least: number) => z.int().min(least).max(65_535).exactOptional();

const specSchema = specObject(
  {
    name: label
      .exactOptional()
      .describe(
        'Name of the service in Consul: a DNS label, not "consul". Defaults to metadata.name, which must be one then. Cannot be changed: make a new resource instead.',
      ),
    tags: tags('Tags of every instance. At most 64.'),
    meta: meta(`Meta of every instance. At most 60 names. ${metaForm}.`),
    weights: z
      .object({
        passing: weight(1).describe('Weight of an instance that passes, 1 to 65535. Defaults to 1.'),
        warning: weight(0).describe('Weight of an instance that warns, 0 to 65535. Defaults to 1.'),
      })
      .exactOptional()
      .describe('How often DNS answers (SRV) choose an instance beside the others.'),
    enableTagOverride: z
      .boolean()
      .exactOptional()
      .describe(
        'True: tags may be changed in Consul from outside; that is no drift then. Defaults to false.',
      ),
    instances: z
      .array(instance)
      .max(MAX_INSTANCES)
      .exactOptional()
      .meta({
        description:
          'Instances with fixed addresses. At most 512, known by their id. At least one of instances and kubernetes.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['id'],
      }),
    kubernetes,
    checks: z
      .array(check)
      .max(MAX_CHECKS)
      .exactOptional()
      .meta({
        description: 'Checks that every instance gets. At most 16, known by their name.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      }),
    registration: z
      .enum(REGISTRATIONS)
      .exactOptional()
      .describe(
        'Where the instances are registered, and who runs the checks. Catalog: in the catalog of Consul, the operator runs http, tcp and grpc checks. Agent: with the agent that the operator talks to, which runs all kinds of checks and adds its own to sidecars; only where the operator allows it. Defaults to Catalog. Cannot be changed: make a new resource instead.',
      ),
    connect,
    drainSeconds: z
      .int()
      .min(0)
      .max(MAX_DRAIN_SECONDS)
      .exactOptional()
      .describe(
        'How long an instance is critical before it is removed, in seconds, 0 to 3600, also when this resource is deleted: clients stop calling it first. Defaults to 0 for instances and to 5 for those of kubernetes.',
      ),
  },
  SERVICE_RULES,
);

const count = (description: string) => z.int().min(0).exactOptional().describe(description);

const statusSchema = statusObject({
  effective: effectiveSchema
    .unwrap()
    .extend({
      name: z.string().exactOptional().describe('Name of the service in Consul.'),
      registration: z.enum(REGISTRATIONS).exactOptional().describe('Where the instances are registered.'),
    })
    .exactOptional()
    .describe('The name, the registration, the policies and the datacenter in effect, defaults filled in.'),
  instances: z
    .object({
      registered: count('How many instances stand in Consul for this resource.'),
      passing: count('How many of them are passing.'),
      warning: count('How many of them are warning.'),
      critical: count('How many of them are critical, those that are drained among them.'),
      removed: count(
        'How many are declared and were taken out of Consul for having been critical too long. They return when they pass.',
      ),
      summary: z.string().exactOptional().describe('passing/registered, for the column.'),
    })
    .exactOptional()
    .describe(
      'Counts of instances by their health in Consul, where an instance is as healthy as its worst check.',
    ),
});

/** As `specSchema`, with Maps: zod leaves a name `__proto__` out of a record, and Consul takes it. */
const metaMap = z.map(z.string(), metaValue).exactOptional();
const readSchema = specSchema.extend({
  meta: metaMap,
  instances: z
    .array(instance.extend({ meta: metaMap }))
    .max(MAX_INSTANCES)
    .exactOptional(),
});

/** The spec as declared, without defaults. `meta` is a Map because its names are the user's. */
export type ConsulServiceSpec = Readonly<z.output<typeof readSchema>>;
export type ConsulServiceStatus = Readonly<z.output<typeof statusSchema>>;
export type ConsulService = Resource<ConsulServiceSpec, ConsulServiceStatus>;
export type ServiceInstance = Readonly<NonNullable<ConsulServiceSpec['instances']>[number]>;
export type ServiceSidecar = Readonly<z.output<ReturnType<typeof sidecar.unwrap>>>;
export type ServiceInstanceCounts = NonNullable<ConsulServiceStatus['instances']>;

/** Reads a ConsulService as the API server hands it out and holds it to every rule of the CRD. Never throws. */
export function parseConsulService(object: unknown): Parsed<ConsulServiceSpec, ConsulServiceStatus> {
  const name = nameOf(object);
  return parseResource(object, { spec: raw => parseSpec(raw, name), status: statusSchema });
}

/** The empty text for what has no name: no service is called so. */
function nameOf(object: unknown): string {
  const metadata = isObject(object) ? object['metadata'] : undefined;
  const name = isObject(metadata) ? metadata['name'] : undefined;
  return typeof name === 'string' ? name : '';
}

function parseSpec(raw: unknown, objectName: string): ParsedSpec<ConsulServiceSpec> {
  const parsed = readSchema.safeParse(withMaps(raw));
  if (!parsed.success) return { ok: false, problem: issueSentence(parsed.error, 'spec') };
  const problem = serviceProblem(parsed.data, objectName);
  return problem === undefined ? { ok: true, value: parsed.data } : { ok: false, problem };
}

function withMaps(raw: unknown): unknown {
  if (!isObject(raw)) return raw;
  const { instances, ...fields } = withMap(raw);
  if (instances === undefined) return fields;
  return { ...fields, instances: Array.isArray(instances) ? instances.map(instanceWithMap) : instances };
}

function instanceWithMap(raw: unknown): unknown {
  return isObject(raw) ? withMap(raw) : raw;
}

function withMap({ meta, ...fields }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (meta === undefined) return fields;
  return { ...fields, meta: isObject(meta) ? new Map(Object.entries(meta)) : meta };
}

export const consulService: KindDefinition = {
  kind: 'ConsulService',
  plural: 'consulservices',
  singular: 'consulservice',
  shortNames: ['csvc'],
  description:
    'A service in Consul: its instances, in Kubernetes or outside it, and the checks that tell their health.',
  rules: RESOURCE_RULES,
  spec: specSchema,
  status: statusSchema,
  columns: [
    {
      ...COLUMNS.ready,
      description: 'Whether the registration in Consul is as declared, whatever its health.',
    },
    COLUMNS.reason,
    {
      name: 'Service',
      type: 'string',
      jsonPath: '.status.effective.name',
      description: 'Name of the service in Consul.',
    },
    {
      name: 'Instances',
      type: 'string',
      jsonPath: '.status.instances.summary',
      description: 'How many instances are passing, of those that are registered.',
    },
    COLUMNS.drift,
    COLUMNS.age,
    COLUMNS.message,
  ],
  selectableFields: ['.spec.name', '.spec.datacenter'],
};
