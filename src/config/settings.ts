import { z } from 'zod';
import {
  cidrs,
  consulAddresses,
  datacenter,
  dnsLabel,
  filePath,
  flag,
  hostName,
  installId,
  ipAddress,
  kubernetesName,
  logLevel,
  namespaceScope,
  port,
  seconds,
  token,
} from './values.ts';

/** Every variable the operator itself reads: how it is written, its default, and what it is for. */
export const environment = z.object({
  CONSUL_HTTP_ADDR: consulAddresses
    .prefault('http://127.0.0.1:8500')
    .describe(
      'Where Consul answers: `host:port` or a URL; several, separated by commas, are tried in turn. An address without a scheme is `http`, or `https` as soon as `CONSUL_HTTP_SSL=true` or a TLS file is set.',
    ),
  CONSUL_HTTP_SSL: flag
    .prefault('false')
    .describe('`true`: talk TLS to Consul, and refuse `http://` addresses.'),
  CONSUL_HTTP_SSL_VERIFY: flag
    .refine(
      verify => verify,
      'must not be false: anyone on the way could then read the ACL token; set CONSUL_CACERT to the CA that signed the certificate of Consul',
    )
    .prefault('true')
    .describe("Only `true`: Consul's certificate is always verified."),
  CONSUL_HTTP_TOKEN: token
    .optional()
    .describe('The ACL token. `CONSUL_HTTP_TOKEN_FILE` is better: it can be rotated without a restart.'),
  CONSUL_HTTP_TOKEN_FILE: filePath
    .optional()
    .describe(
      'A file with the ACL token, read again when it changes. Not together with `CONSUL_HTTP_TOKEN`.',
    ),
  CONSUL_CACERT: filePath
    .optional()
    .describe("PEM file with the CA of Consul's certificate, instead of the CAs that Node.js trusts."),
  CONSUL_CLIENT_CERT: filePath
    .optional()
    .describe('PEM file with the certificate to show to Consul. Needs `CONSUL_CLIENT_KEY`.'),
  CONSUL_CLIENT_KEY: filePath.optional().describe('PEM file with the key of `CONSUL_CLIENT_CERT`.'),
  CONSUL_TLS_SERVER_NAME: hostName
    .optional()
    .describe("The name that Consul's certificate must carry, when it is not the host in the address."),
  CONSUL_DATACENTER: datacenter
    .optional()
    .describe('The datacenter to write to; unset: that of the server that answers.'),
  LOG_LEVEL: logLevel
    .prefault('info')
    .describe(
      'Least severity that is logged: `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`.',
    ),
  PROCONSUL_INSTALL_ID: installId
    .optional()
    .describe(
      'Names this install in the owner records it keeps in Consul: 8 to 40 of a-z, 0-9 and -. Two installs must never share one. Unset: 16 hex digits from the uid of the namespace kube-system, the own namespace and `PROCONSUL_RELEASE`.',
    ),
  PROCONSUL_RELEASE: dnsLabel
    .prefault('proconsul')
    .describe('Tells two installs in one namespace apart; the chart sets it to the name of the release.'),
  PROCONSUL_NAMESPACES: namespaceScope
    .prefault('*')
    .describe('The namespaces whose resources are applied, separated by commas; `*`: all.'),
  PROCONSUL_SECRET_NAMESPACES: namespaceScope
    .prefault('*')
    .describe(
      'The namespaces whose Secrets may be read, separated by commas; `*`: all; set but empty: none.',
    ),
  PROCONSUL_DRY_RUN: flag
    .prefault('false')
    .describe(
      '`true`: write nothing to Consul, and of each resource nothing but its status, which says what would be written. A resource that owns keys is not deleted before the dry run ends.',
    ),
  PROCONSUL_LEASE_TTL: seconds({ least: 10, most: 300 })
    .prefault('20s')
    .describe(
      'Life of the session with which a replica leads. It stops a margin before this has passed without a renewal, and Consul ends the session after twice that. So a crash costs at most twice the TTL and the lock-delay, unless Consul loses its own leader, too; less where it can be seen that the process is dead.',
    ),
  PROCONSUL_LEASE_LOCK_DELAY: seconds({ least: 5, most: 60 })
    .prefault('10s')
    .describe(
      'How long after the session of a lost leader ended the next one acts. For all of it but a second Consul keeps the lead from everybody, so that what was sent last can arrive: writes that no transaction can fence get no more time than that.',
    ),
  PROCONSUL_BIND_ADDRESS: ipAddress
    .prefault('127.0.0.1')
    .describe(
      'The address that the probes and the metrics listen on. In a Pod it has to be `0.0.0.0` or `::`, as the image and the manifests set it; elsewhere only this machine has any business there.',
    ),
  PROCONSUL_PROBE_PORT: port
    .prefault('8081')
    .describe('Port of `/livez` and `/readyz`; `0`: any free one, logged.'),
  PROCONSUL_PROBE_ALLOW_CIDRS: cidrs
    .optional()
    .describe(
      'Ranges of addresses, separated by commas, that health checks may reach although they are refused by default: loopback, link-local, metadata, multicast, reserved and transition addresses, and the hosts of Consul and of the API server. Whoever may write a ConsulService can have the operator send requests there.',
    ),
  PROCONSUL_AGENT_MODE: flag
    .prefault('false')
    .describe(
      '`true`: a ConsulService may have `registration: Agent`. Its instances are registered with the agent at `CONSUL_HTTP_ADDR`, which has to be a single address then, and that agent runs their checks: whoever may write a ConsulService can have it send requests.',
    ),
  PROCONSUL_ALLOW_SCRIPT_CHECKS: flag
    .prefault('false')
    .describe(
      '`true`: with `PROCONSUL_AGENT_MODE`, a ConsulService may have checks that run programs on the host of the agent, with its rights. The agent has to allow it as well (`enable_script_checks`).',
    ),
  PROCONSUL_METRICS_PORT: port.prefault('8080').describe('Port of `/metrics`; `0`: any free one, logged.'),
  POD_NAME: kubernetesName
    .optional()
    .describe('Name of the own Pod, by the downward API: who it is in Events and traces.'),
  POD_NAMESPACE: kubernetesName.optional().describe('Namespace of the own Pod, by the downward API.'),
  POD_UID: kubernetesName
    .optional()
    .describe('Uid of the own Pod, by the downward API: tells a restarted container from a new Pod.'),
});

export type Environment = z.output<typeof environment>;

/** Settings for which set-but-empty differs from unset; everywhere else the two are the same. */
export const MEANINGFUL_WHEN_EMPTY: ReadonlySet<string> = new Set(['PROCONSUL_SECRET_NAMESPACES']);

/** One row of the table in `docs/configuration.md`. */
export interface Setting {
  readonly name: string;
  readonly default: string | undefined;
  readonly description: string;
}

/** Variables that libraries read by themselves; named here so that the documentation is complete. */
const READ_BY_LIBRARIES: readonly Setting[] = [
  {
    name: 'KUBECONFIG',
    default: '~/.kube/config, else the ServiceAccount of the Pod',
    description: 'How to reach the API server, as kubectl reads it.',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    default: undefined,
    description:
      'Where traces go by OTLP over gRPC, such as `http://collector:4317`. Unset: no traces are sent.',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_HEADERS',
    default: undefined,
    description: 'Headers for the collector, such as `authorization=Bearer …`.',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_CERTIFICATE',
    default: undefined,
    description: "PEM file with the CA of the collector's certificate.",
  },
  {
    name: 'OTEL_SERVICE_NAME',
    default: 'proconsul',
    description: 'The name of this service in traces.',
  },
  {
    name: 'OTEL_RESOURCE_ATTRIBUTES',
    default: undefined,
    description: 'Further attributes of every span, such as `deployment.environment.name=production`.',
  },
  {
    name: 'OTEL_TRACES_SAMPLER',
    default: 'parentbased_always_on',
    description: 'Which traces are kept; with `OTEL_TRACES_SAMPLER_ARG`.',
  },
];

/** Every setting there is, for the documentation. */
export const SETTINGS: readonly Setting[] = [
  ...Object.entries(environment.shape).map(([name, schema]) => ({
    name,
    default: schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined,
    description: schema.description ?? '',
  })),
  ...READ_BY_LIBRARIES,
];
