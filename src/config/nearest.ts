/** The candidate that needs the fewest edits (one character added, dropped or changed) to become `word`. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const distances = new Map(candidates.map(candidate => [candidate, editDistance(word, candidate)]));
  return [...candidates].sort((a, b) => (distances.get(a) ?? 0) - (distances.get(b) ?? 0))[0];
}

/** Levenshtein's distance, one row of the table at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let line = 1; line <= from.length; line++) {
    const next = [line];
    for (let column = 1; column <= to.length; column++) {
      const change = cell(row, column - 1) + (from[line - 1] === to[column - 1] ? 0 : 1);
      next.push(Math.min(change, cell(row, column) + 1, cell(next, column - 1) + 1));
    }
    row = next;
  }
  return cell(row, to.length);
}

function cell(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
