import type { Cidr } from '../core/cidr.ts';
import type { Secret } from './secret.ts';
import { type Environment, environment, MEANINGFUL_WHEN_EMPTY } from './settings.ts';
import { isServiceLink, unknownSettingProblems } from './unknown-settings.ts';
import type { NamespaceScope } from './values.ts';

/** Everything that can be set, parsed, checked and frozen. `settings.ts` says what each means. */
export interface Config {
  readonly consul: {
    /** Origins with their scheme, such as `https://consul.example:8501`; at least one. */
    readonly addresses: readonly string[];
    readonly token: Secret | undefined;
    readonly tokenFile: string | undefined;
    readonly tls: {
      readonly caFile: string | undefined;
      readonly certFile: string | undefined;
      readonly keyFile: string | undefined;
      readonly serverName: string | undefined;
    };
    readonly datacenter: string | undefined;
  };
  readonly logLevel: Environment['LOG_LEVEL'];
  readonly install: {
    /** Unset: `defaultInstallId`, once the cluster is known. */
    readonly id: string | undefined;
    readonly release: string;
  };
  readonly namespaces: NamespaceScope;
  readonly secretNamespaces: NamespaceScope;
  readonly dryRun: boolean;
  /** Of the operator's own lead. */
  readonly lease: { readonly ttlSeconds: number; readonly lockDelaySeconds: number };
  readonly bindAddress: string;
  /** 0: any free port. */
  readonly probePort: number;
  /** 0: any free port. */
  readonly metricsPort: number;
  /** What health checks may reach though it is refused by default. */
  readonly probeAllow: readonly Cidr[];
  /** What a ConsulService may have an agent do: register instances and run checks at all, and run programs. */
  readonly agentMode: { readonly agent: boolean; readonly scripts: boolean };
  /** The own Pod; all undefined outside of one. */
  readonly pod: {
    readonly name: string | undefined;
    readonly namespace: string | undefined;
    readonly uid: string | undefined;
  };
}

export type ParsedConfig =
  | { readonly ok: true; readonly config: Config }
  /** One line that names each wrong setting and says what would be right. It repeats no value. */
  | { readonly ok: false; readonly problem: string };

/** Reads the environment, once, at the start. A misspelt `PROCONSUL_…` name is a problem too. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): ParsedConfig {
  const given = settingsGiven(env);
  const parsed = environment.safeParse(given);
  const problems = [
    ...unknownSettingProblems(Object.keys(given), Object.keys(environment.shape)),
    ...(parsed.error?.issues ?? []).map(issue => `${issue.path.join('.')} ${issue.message}`),
    ...(parsed.success ? contradictions(parsed.data) : []),
  ];
  if (!parsed.success || problems.length > 0) return { ok: false, problem: problems.join('; ') };
  return { ok: true, config: deepFreeze(assemble(parsed.data)) };
}

/** What people set: neither unset by being empty nor put there by kubelet. */
function settingsGiven(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || isServiceLink(name, value)) continue;
    const text = value.trim();
    if (text !== '' || MEANINGFUL_WHEN_EMPTY.has(name)) given[name] = text;
  }
  return given;
}

/** Settings that are right alone and wrong together. */
function contradictions(settings: Environment): string[] {
  const problems: string[] = [];
  if (settings.CONSUL_HTTP_TOKEN !== undefined && settings.CONSUL_HTTP_TOKEN_FILE !== undefined) {
    problems.push('CONSUL_HTTP_TOKEN and CONSUL_HTTP_TOKEN_FILE are both set: unset one of them');
  }
  if ((settings.CONSUL_CLIENT_CERT === undefined) !== (settings.CONSUL_CLIENT_KEY === undefined)) {
    const missing = settings.CONSUL_CLIENT_CERT === undefined ? 'CONSUL_CLIENT_CERT' : 'CONSUL_CLIENT_KEY';
    problems.push(`${missing} is missing: CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY go together`);
  }
  const schemes = new Set(settings.CONSUL_HTTP_ADDR.map(address => address.scheme ?? bareScheme(settings)));
  if (wantsTls(settings) && schemes.has('http')) {
    problems.push(
      'CONSUL_HTTP_ADDR must begin with https://, since CONSUL_HTTP_SSL or a TLS file asks for TLS',
    );
  } else if (schemes.size > 1) {
    problems.push('CONSUL_HTTP_ADDR must be all http:// or all https://: a failover must not drop TLS');
  }
  // A failover would register everything once more, with another agent.
  if (settings.PROCONSUL_AGENT_MODE && origins(settings).length > 1) {
    problems.push('CONSUL_HTTP_ADDR must be one address with PROCONSUL_AGENT_MODE=true: that of the agent');
  }
  return problems;
}

function wantsTls(settings: Environment): boolean {
  const { CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_TLS_SERVER_NAME } = settings;
  const tlsSettings = [CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_TLS_SERVER_NAME];
  return settings.CONSUL_HTTP_SSL || tlsSettings.some(setting => setting !== undefined);
}

/** An address without a scheme must not send the token in clear because somebody forgot the scheme. */
function bareScheme(settings: Environment): 'http' | 'https' {
  return wantsTls(settings) ? 'https' : 'http';
}

function origins(settings: Environment): string[] {
  const urls = settings.CONSUL_HTTP_ADDR.map(
    ({ scheme, hostAndPort }) => `${scheme ?? bareScheme(settings)}://${hostAndPort}`,
  );
  return [...new Set(urls.map(url => new URL(url).origin))];
}

function assemble(settings: Environment): Config {
  return {
    consul: {
      addresses: origins(settings),
      token: settings.CONSUL_HTTP_TOKEN,
      tokenFile: settings.CONSUL_HTTP_TOKEN_FILE,
      tls: {
        caFile: settings.CONSUL_CACERT,
        certFile: settings.CONSUL_CLIENT_CERT,
        keyFile: settings.CONSUL_CLIENT_KEY,
        serverName: settings.CONSUL_TLS_SERVER_NAME,
      },
      datacenter: settings.CONSUL_DATACENTER,
    },
    logLevel: settings.LOG_LEVEL,
    install: { id: settings.PROCONSUL_INSTALL_ID, release: settings.PROCONSUL_RELEASE },
    namespaces: settings.PROCONSUL_NAMESPACES,
    secretNamespaces: settings.PROCONSUL_SECRET_NAMESPACES,
    dryRun: settings.PROCONSUL_DRY_RUN,
    lease: {
      ttlSeconds: settings.PROCONSUL_LEASE_TTL,
      lockDelaySeconds: settings.PROCONSUL_LEASE_LOCK_DELAY,
    },
    bindAddress: settings.PROCONSUL_BIND_ADDRESS,
    probePort: settings.PROCONSUL_PROBE_PORT,
    metricsPort: settings.PROCONSUL_METRICS_PORT,
    probeAllow: settings.PROCONSUL_PROBE_ALLOW_CIDRS ?? [],
    agentMode: { agent: settings.PROCONSUL_AGENT_MODE, scripts: settings.PROCONSUL_ALLOW_SCRIPT_CHECKS },
    pod: { name: settings.POD_NAME, namespace: settings.POD_NAMESPACE, uid: settings.POD_UID },
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
