import type { LabelSelector } from '../../api/v1alpha1/consulleaderlease.ts';

type Requirement = NonNullable<LabelSelector['matchExpressions']>[number];
type Labels = Readonly<Record<string, string>>;

/**
 * Whether labels match, as Kubernetes has it (`labels.Requirement.Matches`): all requirements hold, and NotIn and
 * DoesNotExist also of a label that is not there.
 */
export function matchesSelector(selector: LabelSelector, labels: Labels): boolean {
  return requirementsOf(selector).every(requirement => holds(requirement, labels));
}

/**
 * The selector as the API server takes it in `labelSelector`. Selectors that say the same in another order read the
 * same, so that leases can share a watch.
 */
export function selectorText(selector: LabelSelector): string {
  return requirementsOf(selector).map(requirementText).sort().join(',');
}

function requirementsOf({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Requirement[] {
  const labels = Object.entries(matchLabels).map(
    ([key, value]): Requirement => ({ key, operator: 'In', values: [value] }),
  );
  return [...labels, ...matchExpressions];
}

function holds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  // A label may be called `constructor`, and every object has one of those.
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

function requirementText({ key, operator, values = [] }: Requirement): string {
  const list = [...new Set(values)].sort();
  switch (operator) {
    case 'In':
      return list.length === 1 ? `${key}=${list[0]}` : `${key} in (${list.join(',')})`;
    case 'NotIn':
      return `${key} notin (${list.join(',')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
  }
}
