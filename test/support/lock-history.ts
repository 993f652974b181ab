/** From this Raft index on the lock had this session, or none. */
export interface Holding {
  readonly index: number;
  readonly session: string | undefined;
}

/** Who held a lock at which Raft index, as told by what was read of it and by those who took it. */
export class LockHistory {
  #holdings: readonly Holding[] = [];

  /** What is known of an index already stays. */
  note(holding: Holding): void {
    if (this.#holdings.some(({ index }) => index === holding.index)) return;
    this.#holdings = [...this.#holdings, holding].sort((one, other) => one.index - other.index);
  }

  /** Undefined: nobody, or it is not known. */
  holderAt(index: number): string | undefined {
    return this.#holdings.findLast(holding => holding.index <= index)?.session;
  }

  /** Whoever held it at some index behind `after`, up to `until`. */
  holdersWithin({ after, until }: { readonly after: number; readonly until: number }): readonly string[] {
    const later = this.#holdings.filter(({ index }) => index > after + 1 && index <= until);
    return [this.holderAt(after + 1), ...later.map(({ session }) => session)].filter(
      session => session !== undefined,
    );
  }
}
