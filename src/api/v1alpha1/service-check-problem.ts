import { durationProblem } from './duration-rules.ts';
import { first } from './problems.ts';
import { quoted } from './resource.ts';
import type { ServiceCheck } from './service-check.ts';
import {
  CHECK_KINDS,
  CHECK_NAME,
  checkMessages,
  DEREGISTER_AFTER,
  FRAMING_HEADERS,
  HEADER_NAME,
  HTTP_PATH,
  INTERVAL,
  MAX_HEADERS,
  OWN_PREFIX,
  RUN_FIELDS,
  TIMEOUT,
  TTL,
} from './service-check-cel.ts';

type Http = NonNullable<ServiceCheck['http']>;

/** The rules of `service-check-cel.ts` once more, in code, and that no two checks have one name. */
export function checksProblem(checks: readonly ServiceCheck[]): string | undefined {
  const names = new Set(checks.map(({ name }) => name));
  if (names.size < checks.length) return 'spec.checks: two checks have the same name';
  return first(checks, (check, index) => checkProblem(`spec.checks[${index}]`, check));
}

function checkProblem(path: string, check: ServiceCheck): string | undefined {
  const { name, http, ttl, interval, timeout, deregisterCriticalServiceAfter } = check;
  if (!CHECK_NAME.test(name)) return `${path}.name: ${checkMessages.name}`;
  if (name.startsWith(OWN_PREFIX)) return `${path}.name: ${checkMessages.ownName}`;
  const kinds = CHECK_KINDS.filter(kind => check[kind] !== undefined);
  if (kinds.length !== 1) return `${path}.http: ${checkMessages.oneKind}`;
  if (ttl !== undefined && RUN_FIELDS.some(field => check[field] !== undefined)) {
    return `${path}.ttl: ${checkMessages.notRun}`;
  }
  return (
    durationProblem(`${path}.interval`, interval, INTERVAL) ??
    durationProblem(`${path}.timeout`, timeout, TIMEOUT) ??
    durationProblem(
      `${path}.deregisterCriticalServiceAfter`,
      deregisterCriticalServiceAfter,
      DEREGISTER_AFTER,
    ) ??
    durationProblem(`${path}.ttl.ttl`, ttl?.ttl, TTL) ??
    (http === undefined ? undefined : httpProblem(`${path}.http`, http))
  );
}

function httpProblem(path: string, { path: urlPath, tls, scheme, headers = {} }: Http): string | undefined {
  if (urlPath !== undefined && !HTTP_PATH.test(urlPath)) return `${path}.path: ${checkMessages.path}`;
  if (tls !== undefined && scheme !== 'https') return `${path}.tls: ${checkMessages.tlsNeedsHttps}`;
  return headersProblem(`${path}.headers`, headers);
}

function headersProblem(path: string, headers: NonNullable<Http['headers']>): string | undefined {
  const names = Object.keys(headers);
  if (names.length > MAX_HEADERS) return `${path} has more than ${MAX_HEADERS} names`;
  const misnamed = names.find(name => !HEADER_NAME.test(name));
  if (misnamed !== undefined) return `${path}[${quoted(misnamed)}]: ${checkMessages.headerNames}`;
  const lower = names.map(name => name.toLowerCase());
  if (FRAMING_HEADERS.some(name => lower.includes(name))) return `${path}: ${checkMessages.framing}`;
  if (new Set(lower).size < lower.length) return `${path}: ${checkMessages.twice}`;
  const hosts = Object.entries(headers).find(([name]) => name.toLowerCase() === 'host')?.[1];
  return hosts !== undefined && hosts.length > 1 ? `${path}: ${checkMessages.oneHost}` : undefined;
}
