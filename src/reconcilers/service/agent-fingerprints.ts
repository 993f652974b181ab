import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import { declaresSameTags, instanceFingerprint } from './fingerprints.ts';

/** Parts the declaration from what the agent is: no fingerprint has it. */
const SEPARATOR = '/';

/** As `instanceFingerprint` parts the tags from the rest. */
const TAGS = '.';

/** Two agents' memories differ by far more. */
const MEMORY_CHARS = 8;

/** As records have it of an instance with an agent: `<content>.<tags>/<memory>`. */
export function agentFingerprint(
  fingerprinter: Pick<Fingerprinter, 'of'>,
  {
    memory,
    ...declared
  }: {
    readonly name: string;
    readonly content: string;
    readonly tags: readonly string[];
    /** Of the agent: another one when it has lost what it knew. */
    readonly memory: string;
  },
): string {
  return `${instanceFingerprint(fingerprinter, declared)}${SEPARATOR}${memory.slice(0, MEMORY_CHARS)}`;
}

/** Whether two fingerprints of one instance were made of the same declaration, whatever the agent was. */
export function declaresSame(one: string, other: string): boolean {
  return declaration(one) === declaration(other);
}

export function declaresSameAgentTags(one: string, other: string): boolean {
  return declaresSameTags(declaration(one), declaration(other));
}

/**
 * What a claim says of an instance that the record lists already: with the tags that were declared last, so that it shows afterwards
 * whether others' tags stay.
 */
export function claimedAs(fingerprint: string, recorded: string | undefined): string {
  if (recorded === undefined) return fingerprint;
  const [content = ''] = declaration(fingerprint).split(TAGS, 1);
  const tags = declaration(recorded).slice(declaration(recorded).indexOf(TAGS));
  return `${content}${tags}${fingerprint.slice(declaration(fingerprint).length)}`;
}

function declaration(fingerprint: string): string {
  return fingerprint.split(SEPARATOR, 1)[0] ?? '';
}
