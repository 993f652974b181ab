/**
 * `JSON.parse`, but for a defect of V8 (13.6, in Node 24): once it has seen an object with the key `x\`, it takes
 * the key `x"` of the next object of that shape, which is written `"x\""`, for `x\`, too; and likewise with every
 * key that looks like the escaped form of another. Keys are chosen by users, so a text in which any is escaped is
 * parsed with numbers in their place; each key by itself is read correctly.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  if (!text.includes('\\')) return JSON.parse(text);
  const keys: string[] = [];
  let isAnyEscaped = false;
  const numbered = text.replace(STRING, (whole, literal: string, colon: string | undefined) => {
    if (colon === undefined) return whole;
    isAnyEscaped ||= literal.includes('\\');
    keys.push(literal);
    return `"${keys.length - 1}"${colon}`;
  });
  return isAnyEscaped ? withKeys(JSON.parse(numbered), keys) : JSON.parse(text);
}

/** A string, and the colon that makes it a key. */
const STRING = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?/gs;

function withKeys(value: unknown, keys: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map(item => withKeys(item, keys));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([number, member]) => [
      JSON.parse(keys[Number(number)] as string) as string,
      withKeys(member, keys),
    ]),
  );
}
