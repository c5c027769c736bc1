/** How far a misspelling may be from what was meant, in edits. */
const EDITS = 3;
/** Longer names are no misspelling of a field, and not worth the comparison. */
const LENGTH = 64;

/** The one of `known` that is fewest edits from `name` (capitals count as one edit); undefined if none is close. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  if (name.length > LENGTH) return undefined;
  let best: string | undefined;
  let fewest = EDITS + 1;
  for (const candidate of known) {
    const edits = distance(name, candidate);
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** Levenshtein's distance. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
