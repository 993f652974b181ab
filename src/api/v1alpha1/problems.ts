/** The first problem among the items, if any has one. */
export function first<Item>(
  items: Iterable<Item>,
  problemOf: (item: Item, index: number) => string | undefined,
): string | undefined {
  let index = 0;
  for (const item of items) {
    const problem = problemOf(item, index++);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
