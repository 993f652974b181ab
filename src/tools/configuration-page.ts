import { SETTINGS } from '../config/settings.ts';
import { code, generatedPage, markdownTable } from './markdown.ts';

/** `docs/configuration.md`: every environment variable. */
export function configurationPage(): string {
  const rows = SETTINGS.map(setting => [
    code(setting.name),
    setting.default === undefined ? '' : code(setting.default),
    setting.description,
  ]);
  return generatedPage(
    'Configuration',
    'The operator is configured by environment variables, read once when it starts. A wrong or misspelt one stops the start with a line that names it.',
    markdownTable(['Variable', 'Default', 'Meaning'], rows),
  );
}
