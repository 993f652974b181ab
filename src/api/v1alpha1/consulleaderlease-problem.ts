import { keyProblem, MAX_KEY_BYTES } from '../../core/keys.ts';
import { MAX_SLOT_SUFFIX_BYTES } from '../../core/lease-keys.ts';
import { DNS_LABEL } from './common.ts';
import type { ConsulLeaderLeaseSpec } from './consulleaderlease.ts';
import {
  DEFAULT_LEADER_LABEL,
  LABEL_KEY,
  LABEL_VALUE,
  MAX_LABEL_PREFIX_CHARS,
  MAX_LABELS,
  MAX_LOCK_DELAY,
  MAX_TTL,
  messages,
  MIN_TTL,
  PORT_NAME,
  SERVICE_NAME,
} from './consulleaderlease-cel.ts';
import { durationProblem } from './duration-rules.ts';
import { quoted } from './resource.ts';

type Selector = ConsulLeaderLeaseSpec['candidates']['selector'];
type Requirement = NonNullable<Selector['matchExpressions']>[number];
type Service = NonNullable<ConsulLeaderLeaseSpec['service']>;

/**
 * The rules of `consulleaderlease-cel.ts` once more, in code: a spec may have been stored before the API server knew a
 * rule. Says what is wrong with the first field that breaks one, in a sentence that starts with its path. A test runs
 * both against the same specs.
 */
export function leaseProblem(spec: ConsulLeaderLeaseSpec): string | undefined {
  return (
    datacenterProblem(spec) ??
    lockProblem(spec) ??
    selectorProblem(spec.candidates.selector) ??
    leaderLabelProblem(spec) ??
    sessionProblem(spec.session) ??
    (spec.service === undefined ? undefined : serviceProblem(spec.service))
  );
}

function datacenterProblem({ datacenter }: ConsulLeaderLeaseSpec): string | undefined {
  if (datacenter === undefined || DNS_LABEL.test(datacenter)) return undefined;
  return 'spec.datacenter is not a DNS label';
}

function lockProblem({ key, holders = 1 }: ConsulLeaderLeaseSpec): string | undefined {
  if (key === undefined) return undefined;
  const problem = keyProblem(key);
  if (problem !== undefined) return `spec.key ${problem}`;
  const isTooLong = holders > 1 && Buffer.byteLength(key) > MAX_KEY_BYTES - MAX_SLOT_SUFFIX_BYTES;
  return isTooLong ? `spec.key: ${messages.roomForSlots}` : undefined;
}

function selectorProblem({ matchLabels = {}, matchExpressions = [] }: Selector): string | undefined {
  const path = 'spec.candidates.selector';
  const labels = Object.entries(matchLabels);
  if (labels.length + matchExpressions.length === 0) return `${path}.matchLabels: ${messages.emptySelector}`;
  if (labels.length > MAX_LABELS) return `${path}.matchLabels has more than ${MAX_LABELS} names`;
  for (const [key, value] of labels) {
    const at = `${path}.matchLabels[${quoted(key)}]`;
    if (!isLabelKey(key)) return `${at}: a name ${messages.labelKey}`;
    if (!LABEL_VALUE.test(value)) return `${at}: values ${messages.labelValue}`;
  }
  for (const [index, requirement] of matchExpressions.entries()) {
    const problem = requirementProblem(`${path}.matchExpressions[${index}]`, requirement);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function requirementProblem(path: string, { key, operator, values = [] }: Requirement): string | undefined {
  if (!isLabelKey(key)) return `${path}.key ${messages.labelKey}`;
  const needsValues = operator === 'In' || operator === 'NotIn';
  if (needsValues && values.length === 0) return `${path}.values: ${operator} needs values`;
  if (!needsValues && values.length > 0) return `${path}.values: ${operator} has no values`;
  return values.every(value => LABEL_VALUE.test(value)) ? undefined : `${path}.values ${messages.labelValue}`;
}

function leaderLabelProblem({ leaderLabel, candidates }: ConsulLeaderLeaseSpec): string | undefined {
  if (leaderLabel !== undefined && !isLabelKey(leaderLabel)) return `spec.leaderLabel ${messages.labelKey}`;
  const label = leaderLabel ?? DEFAULT_LEADER_LABEL;
  const { matchLabels = {}, matchExpressions = [] } = candidates.selector;
  const isSelected = Object.hasOwn(matchLabels, label) || matchExpressions.some(({ key }) => key === label);
  return isSelected ? `spec.leaderLabel: ${messages.selectsLabel}` : undefined;
}

function isLabelKey(key: string): boolean {
  return LABEL_KEY.test(key) && key.indexOf('/') <= MAX_LABEL_PREFIX_CHARS;
}

function sessionProblem({
  ttl,
  lockDelay,
}: NonNullable<ConsulLeaderLeaseSpec['session']> = {}): string | undefined {
  return (
    durationProblem('spec.session.ttl', ttl, { least: MIN_TTL, most: MAX_TTL }) ??
    durationProblem('spec.session.lockDelay', lockDelay, { least: '0s', most: MAX_LOCK_DELAY })
  );
}

function serviceProblem({ name, ports }: Service): string | undefined {
  const path = 'spec.service';
  if (!SERVICE_NAME.test(name)) return `${path}.name is not a name of a Service`;
  const misnamed = ports.findIndex(port => port.name !== undefined && !PORT_NAME.test(port.name));
  if (misnamed !== -1) return `${path}.ports[${misnamed}].name is not a DNS label`;
  const names = ports.flatMap(port => port.name ?? []);
  if (ports.length > 1 && names.length < ports.length)
    return `${path}.ports: with more than one port, each needs a name`;
  if (new Set(names).size < names.length) return `${path}.ports: two ports have the same name`;
  const places = new Set(ports.map(({ port, protocol = 'TCP' }) => `${port}/${protocol}`));
  return places.size < ports.length ? `${path}.ports: two ports have the same port and protocol` : undefined;
}
