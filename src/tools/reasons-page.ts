import { CONDITION_TYPES, EVENT_REASONS } from '../api/v1alpha1/common.ts';
import { REASONS, STALLING_REASONS } from '../api/v1alpha1/reasons.ts';
import { catalogueTable, code, generatedPage, markdownTable } from './markdown.ts';

/** `docs/reasons.md`: what a resource's conditions and Events say, and the way out. */
export function reasonsPage(): string {
  const reasons = Object.entries(REASONS).map(([reason, meaning]) => [
    code(reason),
    STALLING_REASONS.has(reason) ? 'yes' : '',
    meaning,
  ]);
  return generatedPage(
    'Conditions, reasons and Events',
    'The same for every kind. `kubectl describe` shows them; `kubectl get -o wide` shows the message of Ready.',
    '## Conditions',
    catalogueTable('Condition', CONDITION_TYPES),
    '## Reasons of Ready',
    'A resource that is stalled is looked at again when its spec, its rival or the object in Consul changes.',
    markdownTable(['Reason', 'Stalled', 'Meaning and way out'], reasons),
    '## Events',
    'Sent when something changes, never on every turn; repeated ones are counted as one series.',
    catalogueTable('Event', EVENT_REASONS),
  );
}
