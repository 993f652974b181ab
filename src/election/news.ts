import { messageOf } from '../core/errors.ts';
import type { SessionId } from '../consul/types.ts';
import type { State } from './model.ts';

/** What a candidate has to tell for logs: that its state changed, that a tenure ended, what fails and what works again. */
export type ElectionNews =
  | { readonly what: State['kind']; readonly session?: SessionId; readonly fencingToken?: bigint }
  | { readonly what: 'ended'; readonly session: SessionId; readonly why: string }
  | { readonly what: 'clearing'; readonly session: SessionId }
  /** The index of the lock went back: Consul was restored or rebuilt. */
  | { readonly what: 'reset' }
  | { readonly what: 'failing'; readonly operation: Operation; readonly error: unknown }
  | { readonly what: 'recovered'; readonly operation: Operation };

/** What is asked of Consul: `release` and `destroy` give back, `clear` takes from the dead. */
export type Operation = 'watch' | 'open' | 'acquire' | 'look' | 'renew' | 'clear' | 'release' | 'destroy';

const OF_CAMPAIGNS: readonly Operation[] = ['open', 'acquire', 'clear'];

/** Tells each thing once: a state when it changes, a failure when it begins and when it is over. */
export class NewsDesk {
  readonly #tell: (news: ElectionNews) => void;
  readonly #failing = new Set<Operation>();
  #state: State['kind'] = 'idle';

  constructor(tell: ((news: ElectionNews) => void) | undefined) {
    this.#tell = tell ?? (() => {});
  }

  /** What a listener throws is its own affair: a logger that fails must not cost the lead. */
  tell(news: ElectionNews): void {
    try {
      this.#tell(news);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : messageOf(error));
    }
  }

  stateIs(state: State): void {
    if (state.kind === this.#state) return;
    this.#state = state.kind;
    // However it was won, what stood in the way of the campaign is over.
    if (state.kind === 'leading') for (const operation of OF_CAMPAIGNS) this.succeeded(operation);
    this.tell({
      what: state.kind,
      ...('kept' in state && { session: state.kept.id }),
      ...(state.kind === 'leading' && { fencingToken: state.fencingToken }),
    });
  }

  failed(operation: Operation, error: unknown): void {
    if (this.#failing.has(operation)) return;
    this.#failing.add(operation);
    this.tell({ what: 'failing', operation, error });
  }

  succeeded(operation: Operation): void {
    if (this.#failing.delete(operation)) this.tell({ what: 'recovered', operation });
  }
}
