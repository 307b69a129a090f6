/** Label selectors as controllers use them: compiled once per object that holds them, matched often. */
import {
  compileLabelSelector,
  compileLabelSet,
  nothing,
  SelectorError,
  type LabelMatcher,
} from '../../api/selectors.ts';
import type { DeepReadonly, LabelSelector } from '../../api/types.ts';

export type Labels = Readonly<Record<string, string>> | undefined;

/** A compiled selector. */
export interface Selector {
  /** Selects everything. */
  readonly empty: boolean;
  matches(labels: Labels): boolean;
  /** The form that list requests and scale subresources take. */
  readonly text: string;
}

const wrap = (m: LabelMatcher): Selector => ({
  empty: m.isEverything,
  matches: (labels) => m.matches(labels),
  text: m.toString(),
});

const NOTHING = wrap(nothing());

/** By identity: cached objects are never changed in place. */
const selectors = new WeakMap<object, Selector>();
const sets = new WeakMap<object, Selector>();

/** An equality selector, as Services and ReplicationControllers have it; without labels it selects everything. */
export function setSelector(set: Labels): Selector {
  if (!set) return wrap(compileLabelSet(undefined));
  let found = sets.get(set);
  if (!found) sets.set(set, (found = wrap(compileLabelSet(set))));
  return found;
}

/** A LabelSelector: absent selects nothing, an empty one everything. @throws SelectorError when it can't be read. */
export function labelSelector(selector: DeepReadonly<LabelSelector> | undefined): Selector {
  if (!selector) return NOTHING;
  let found = selectors.get(selector);
  if (!found) selectors.set(selector, (found = wrap(compileLabelSelector(selector))));
  return found;
}

/** As `labelSelector`, but one that can't be read selects nothing. */
export function lenientSelector(selector: DeepReadonly<LabelSelector> | undefined): Selector {
  try {
    return labelSelector(selector);
  } catch (error) {
    if (error instanceof SelectorError) return NOTHING;
    throw error;
  }
}
