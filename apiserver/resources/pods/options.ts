/** What pod validation needs to know beyond the spec. */
export interface PodOptions {
  /** A pod itself, not a template in a workload: some rules are looser for templates that were stored long ago. */
  readonly isPod: boolean;
  /** The pod's name when known: names of claims made for ephemeral volumes are derived from it. */
  readonly name?: string;
  /** The pod's annotations (mirror pods). */
  readonly annotations?: Readonly<Record<string, string>>;
  /** What the stored object already has and so may keep. */
  readonly allow?: {
    readonly invalidLabelValuesInSelectors?: boolean;
    readonly invalidTopologySelectors?: boolean;
    readonly invalidNodeAffinityValues?: boolean;
    readonly hostNamespaceSysctls?: boolean;
    readonly indivisibleHugePages?: boolean;
    readonly invalidDeletionCost?: boolean;
  };
}
