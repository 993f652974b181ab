/**
 * All but letters, marks, numbers, punctuation, symbols and the plain space: what Go's `unicode.IsPrint` refuses. And
 * what is no symbol in earnest: the object and replacement marks, which stand for something lost.
 */
const UNPRINTABLE = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|[\ufffc\ufffd]/gu;

/** The first character of `text` that cannot be printed, as `U+202E`; undefined when all can. */
export function unprintableIn(text: string): string | undefined {
  const character = text.match(UNPRINTABLE)?.[0];
  return character === undefined ? undefined : `U+${hexOf(character).toUpperCase().padStart(4, '0')}`;
}

/** `text` without what a terminal would act upon: `\u{202e}` stands in its place. */
export function escapeUnprintable(text: string): string {
  return text.replaceAll(UNPRINTABLE, character => `\\u{${hexOf(character)}}`);
}

function hexOf(character: string): string {
  return character.codePointAt(0)?.toString(16) ?? '';
}
