/** Long polls kept open on the key space, whatever the number of resources. */
export const MAX_WATCHED_PREFIXES = 3;

/**
 * Which prefixes are watched, at most three and none of them empty: one per first segment, as long as all its keys
 * allow. A prefix is only ever widened while the process lives, so that resources do not flap between watched and
 * swept; keys that no prefix covers, and those without a folder, are swept.
 */
export class WatchedPrefixes {
  readonly #byFirstSegment = new Map<string, string>();

  get prefixes(): readonly string[] {
    return [...this.#byFirstSegment.values()];
  }

  covers(key: string): boolean {
    const prefix = this.#byFirstSegment.get(firstSegment(key));
    return prefix !== undefined && key.startsWith(prefix);
  }

  /** Makes the watch cover these keys where it can; true when the prefixes changed. */
  include(keys: Iterable<string>): boolean {
    let changed = false;
    for (const key of keys) {
      const first = firstSegment(key);
      if (first === '') continue;
      const prefix = this.#byFirstSegment.get(first);
      if (prefix !== undefined && key.startsWith(prefix)) continue;
      if (prefix === undefined && this.#byFirstSegment.size === MAX_WATCHED_PREFIXES) continue;
      this.#byFirstSegment.set(first, prefix === undefined ? folderOf(key) : commonFolder(prefix, key));
      changed = true;
    }
    return changed;
  }

  /** The best choice for keys that are all known at the start: the first segments with the most keys. */
  static choose(keys: Iterable<string>): WatchedPrefixes {
    const groups = new Map<string, string[]>();
    for (const key of keys) {
      const first = firstSegment(key);
      if (first === '') continue;
      const group = groups.get(first) ?? [];
      groups.set(first, group);
      group.push(key);
    }
    const chosen = new WatchedPrefixes();
    const largestFirst = [...groups].sort(
      ([one, ones], [other, others]) => others.length - ones.length || (one < other ? -1 : 1),
    );
    for (const [, group] of largestFirst.slice(0, MAX_WATCHED_PREFIXES)) chosen.include(group);
    return chosen;
  }
}

/** `a/b/c` → `a/`; a key without a folder → the empty string. */
function firstSegment(key: string): string {
  return key.slice(0, key.indexOf('/') + 1);
}

/** `a/b/c` → `a/b/`. */
export function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}

/** The longest folder that holds both. */
function commonFolder(folder: string, key: string): string {
  let common = folder;
  while (!key.startsWith(common)) common = folderOf(common.slice(0, -1));
  return common;
}

interface Folder {
  readonly path: string;
  readonly children: Map<string, Folder>;
  readonly keys: Set<string>;
  /** Keys in it and beneath. */
  count: number;
  /** The highest index beneath it when its keys were last read; 0: never. */
  index: number;
}

/** Tracked keys by folder, with the index at which each folder was last read. */
export class FolderTree {
  readonly #root: Folder = newFolder('');

  add(key: string): void {
    let folder = this.#root;
    folder.count++;
    for (const path of foldersAbove(key)) {
      let child = folder.children.get(path);
      if (child === undefined) {
        child = newFolder(path);
        folder.children.set(path, child);
      }
      folder = child;
      folder.count++;
    }
    folder.keys.add(key);
  }

  remove(key: string): void {
    let folder = this.#root;
    folder.count--;
    for (const path of foldersAbove(key)) {
      const child = folder.children.get(path);
      if (child === undefined) return;
      child.count--;
      if (child.count === 0) {
        folder.children.delete(path);
        return;
      }
      folder = child;
    }
    folder.keys.delete(key);
  }

  find(path: string): Folder | undefined {
    let folder: Folder | undefined = this.#root;
    for (const above of foldersAbove(path)) folder = folder?.children.get(above);
    return folder;
  }

  forgetIndexes(): void {
    for (const folder of walk(this.#root)) folder.index = 0;
  }
}

export type { Folder };

export function keysBeneath(folder: Folder): string[] {
  const keys: string[] = [];
  for (const { keys: own } of walk(folder)) keys.push(...own);
  return keys;
}

function* walk(folder: Folder): Generator<Folder> {
  yield folder;
  for (const child of folder.children.values()) yield* walk(child);
}

function newFolder(path: string): Folder {
  return { path, children: new Map(), keys: new Set(), count: 0, index: 0 };
}

/** `a/b/c` → `a/`, `a/b/`; `a/b/` → the same. */
export function* foldersAbove(key: string): Generator<string> {
  for (let at = key.indexOf('/'); at !== -1; at = key.indexOf('/', at + 1)) yield key.slice(0, at + 1);
}
