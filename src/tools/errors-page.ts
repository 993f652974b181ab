import { OPERATOR_ERROR_CODES } from '../core/error-codes.ts';
import { CONSUL_ERROR_CODES } from '../consul/error-codes.ts';
import { KUBE_ERROR_CODES } from '../kube/errors.ts';
import { catalogueTable, code, generatedPage, markdownTable } from './markdown.ts';

const EFFECTS = {
  retry: 'tried again, later each time',
  conflict: 'looked at again at once',
  stop: 'left until something changes',
} as const;

/** `docs/errors.md`: every stable error code, as logs and spans carry it. */
export function errorsPage(): string {
  const consul = Object.entries(CONSUL_ERROR_CODES).map(([name, { meaning, effect, reason, wayOut }]) => {
    return [code(name), `${meaning} ${wayOut}`, EFFECTS[effect], code(reason)];
  });
  return generatedPage(
    'Error codes',
    'Log lines and spans carry these as `code`; they do not change from one version to the next. A condition says the same in words, with a reason from [reasons.md](reasons.md).',
    '## From Consul',
    markdownTable(['Code', 'Meaning and way out', 'What the operator does', 'Reason'], consul),
    '## From the operator itself',
    catalogueTable('Code', OPERATOR_ERROR_CODES),
    '## From the Kubernetes API server',
    catalogueTable('Code', KUBE_ERROR_CODES),
  );
}
