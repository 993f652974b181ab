import type { ConfigEntryBody } from '../consul/config-entry.ts';

/**
 * Whether an entry of intentions stands as it was sent. What the server fills in, sorts, writes in capitals or leaves
 * out because it is empty makes no difference (`normalize` in `agent/structs/config_entry_intentions.go`); undefined:
 * no entry.
 */
export function standsAsSent(
  sent: ConfigEntryBody | undefined,
  stored: ConfigEntryBody | undefined,
): boolean {
  if (sent === undefined || stored === undefined) return sent === stored;
  return canonical(sent) === canonical(stored);
}

function canonical(body: ConfigEntryBody): string {
  const sources = (Array.isArray(body['Sources']) ? body['Sources'] : []).map(canonicalSource);
  return textOf({ ...body, Sources: sources.toSorted() });
}

/** Computed by the server, or left from the API before config entries, which every write of an entry ends. */
const NOT_COMPARED: ReadonlySet<string> = new Set([
  'Precedence',
  'Type',
  'LegacyID',
  'LegacyMeta',
  'LegacyCreateTime',
  'LegacyUpdateTime',
]);

function canonicalSource(source: unknown): string {
  if (!isObject(source)) return textOf(source);
  return textOf(Object.fromEntries(Object.entries(source).filter(([field]) => !NOT_COMPARED.has(field))));
}

function textOf(value: unknown): string {
  return JSON.stringify(withoutEmpty(value, '')) ?? '';
}

/** Members in one order, without those that Go leaves out. */
function withoutEmpty(value: unknown, field: string): unknown {
  if (Array.isArray(value)) {
    return field === 'Methods'
      ? value.map(method => String(method).toUpperCase())
      : value.map(item => withoutEmpty(item, ''));
  }
  if (!isObject(value)) return typeof value === 'bigint' ? String(value) : value;
  const members = Object.entries(value)
    .map(([name, member]) => [name, withoutEmpty(member, name)] as const)
    .filter(([, member]) => !isEmpty(member));
  return Object.fromEntries(members.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function isEmpty(value: unknown): boolean {
  if (isObject(value)) return Object.keys(value).length === 0;
  return Array.isArray(value) ? value.length === 0 : !value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
