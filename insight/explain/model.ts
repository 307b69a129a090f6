/** What an explanation is: a sentence, the reasons behind it as a tree, and what would help. */

/** An object that a reason speaks of. */
export interface About {
  readonly resource: string;
  readonly group?: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface Reason {
  readonly message: string;
  /** What somebody could do about it. */
  readonly fix?: string;
  readonly object?: About;
  readonly because?: readonly Reason[];
}

/** What stands against one node. */
export interface NodeVerdict {
  readonly node: string;
  readonly fits: boolean;
  readonly objections: readonly { plugin: string; reasons: readonly string[]; changes?: readonly string[] }[];
}

/**
 * `Fine`: nothing is in the way. `Waiting`: something is, see `reasons`. `Deleting`: it is to go, and `reasons` say what
 * holds it. `Ended`: it has done its work.
 */
export type State = 'Fine' | 'Waiting' | 'Deleting' | 'Ended';

export interface Explanation {
  readonly state: State;
  readonly summary: string;
  readonly reasons: readonly Reason[];
  /** Pods without a node: what each node lacks. */
  readonly nodes?: readonly NodeVerdict[];
  /** The least that would make a pod fit; `tried` on paper with success or not. */
  readonly smallestChange?: { readonly node: string; readonly changes: readonly string[]; readonly tried: boolean };
}

export const fine = (summary: string): Explanation => ({ state: 'Fine', summary, reasons: [] });
