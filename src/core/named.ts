const NAMED = 10;

/** `a, b and 3 more`: the first ten by name, for a message that people read. */
export function named(names: readonly string[]): string {
  const first = names.slice(0, NAMED).join(', ');
  return names.length > NAMED ? `${first} and ${names.length - NAMED} more` : first;
}
