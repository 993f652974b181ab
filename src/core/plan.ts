/**
 * What a planner decided. `wait` and `refuse` are results, not errors: a dependency is missing, or what stands
 * there is not ours.
 */
export type Plan<Action> =
  | { readonly kind: 'noop' }
  | { readonly kind: 'change'; readonly actions: readonly Action[] }
  | { readonly kind: 'wait'; readonly reason: string; readonly message: string; readonly retryInMs?: number }
  | { readonly kind: 'refuse'; readonly reason: string; readonly message: string };
