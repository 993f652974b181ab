import { clip } from '../core/conditions.ts';
import { nearest } from './nearest.ts';

const PREFIX = 'PROCONSUL_';

/** Read by the sandbox and the tests, which may run in the same environment: paths of binaries and the like. */
const SANDBOX_SETTINGS: ReadonlySet<string> = new Set([
  'PROCONSUL_KUBE_APISERVER',
  'PROCONSUL_ETCD',
  'PROCONSUL_KUBE_CONTROLLER_MANAGER',
  'PROCONSUL_CONSUL',
  'PROCONSUL_HELM',
  'PROCONSUL_KUBECTL',
]);
const TEST_PREFIX = 'PROCONSUL_TEST_';

const SERVICE_LINK_NAME =
  /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const SERVICE_LINK_URL = /^(tcp|udp|sctp):\/\/\S+:\d+$/;

/**
 * Whether kubelet, not a person, set the variable: for every Service in the namespace it adds
 * `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT=tcp://…` and more. A Service named proconsul-metrics thus sets
 * `PROCONSUL_METRICS_PORT` to a URL.
 *
 * Source: kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */
export function isServiceLink(name: string, value: string): boolean {
  return SERVICE_LINK_NAME.test(name) || (name.endsWith('_PORT') && SERVICE_LINK_URL.test(value));
}

/** What is wrong with the names: a misspelt setting must not silently leave its default in force. */
export function unknownSettingProblems(names: readonly string[], known: readonly string[]): string[] {
  const own = known.filter(name => name.startsWith(PREFIX));
  return names
    .filter(name => name.startsWith(PREFIX) && !name.startsWith(TEST_PREFIX))
    .filter(name => !own.includes(name) && !SANDBOX_SETTINGS.has(name))
    .map(name => `${printable(name)} is not a setting: did you mean ${nearest(name, own)}?`);
}

/** A name is whatever the parent process made it: one line of the log must stay one line. */
function printable(name: string): string {
  return clip(name.replaceAll(/\W/g, '?'), 80);
}
