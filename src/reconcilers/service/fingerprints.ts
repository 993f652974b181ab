import type { Fingerprinter } from '../../ownership/fingerprint.ts';

/** Parts them: no base64url has it. */
const SEPARATOR = '.';

/**
 * What a record says of a written instance: `<content>.<tags>`. The tags apart, so that it shows whether the declared ones have
 * changed where others may change those in Consul (`enableTagOverride`).
 *
 * @param content All that is declared but the tags, in a form that is the same for the same.
 */
export function instanceFingerprint(
  fingerprinter: Pick<Fingerprinter, 'of'>,
  {
    name,
    content,
    tags,
  }: { readonly name: string; readonly content: string; readonly tags: readonly string[] },
): string {
  const of = (text: string) => fingerprinter.of(name, { value: Buffer.from(text), flags: 0n });
  return [of(content), of(JSON.stringify(tags))].join(SEPARATOR);
}

/** Whether two fingerprints of one instance were made of the same tags. */
export function declaresSameTags(one: string, other: string): boolean {
  return tagsPart(one) === tagsPart(other);
}

function tagsPart(fingerprint: string): string {
  return fingerprint.slice(fingerprint.indexOf(SEPARATOR) + 1);
}
