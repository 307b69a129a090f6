/** A profile: which plugins run under a scheduler name, at which points, with which arguments and weights. */
import type { Plugin } from './core/framework.ts';
import type { PluginSet } from './core/cycle.ts';
import type { PluginRef, Point, ProfileConfig } from './config.ts';
import { POINTS } from './config.ts';
import { DEFAULT_PLUGINS, REGISTRY, type PluginDeps } from './registry.ts';

export interface Profile extends PluginSet {
  readonly schedulerName: string;
  readonly percentageOfNodesToScore: number | undefined;
  /** All that run at any point. */
  readonly plugins: readonly Plugin[];
  readonly queueSort: Plugin;
  readonly preEnqueue: readonly Plugin[];
  readonly reserve: readonly Plugin[];
  readonly permit: readonly Plugin[];
  readonly preBind: readonly Plugin[];
  readonly bind: readonly Plugin[];
  readonly postBind: readonly Plugin[];
}

/** The plugin's own method for each point; PreFilter makes the filters and PreScore the scorers. */
const METHOD: Readonly<Record<Point, keyof Plugin>> = {
  preEnqueue: 'preEnqueue',
  queueSort: 'less',
  preFilter: 'preFilter',
  filter: 'preFilter',
  postFilter: 'postFilter',
  preScore: 'preScore',
  score: 'preScore',
  reserve: 'reserve',
  permit: 'permit',
  preBind: 'preBind',
  bind: 'bind',
  postBind: 'postBind',
};

/** Takes the default list, drops what is disabled, lets `enabled` override in place and adds the rest at the end. */
function merge(
  defaults: readonly PluginRef[],
  config: { enabled?: PluginRef[]; disabled?: PluginRef[] } | undefined,
): PluginRef[] {
  if (!config) return [...defaults];
  const disabled = new Set(config.disabled?.map((d) => d.name));
  const custom = new Map(config.enabled?.map((e) => [e.name, e]));
  const out: PluginRef[] = [];
  if (!disabled.has('*'))
    for (const d of defaults) {
      if (disabled.has(d.name)) continue;
      out.push(custom.get(d.name) ?? d);
      custom.delete(d.name);
    }
  out.push(...custom.values());
  return out;
}

/** @throws Error with one sentence when the configuration names what isn't there. */
export function buildProfile(config: ProfileConfig, deps: PluginDeps): Profile {
  const schedulerName = config.schedulerName ?? 'default-scheduler';
  const args = new Map(config.pluginConfig?.map((p) => [p.name, p.args ?? {}]));
  const made = new Map<string, Plugin>();
  const make = (name: string): Plugin => {
    let p = made.get(name);
    if (!p) {
      const factory = REGISTRY[name];
      if (!factory) throw new Error(`profile ${schedulerName}: there is no plugin ${JSON.stringify(name)}`);
      made.set(name, (p = factory(args.get(name) ?? {}, deps)));
    }
    return p;
  };
  for (const name of args.keys())
    if (!REGISTRY[name])
      throw new Error(`profile ${schedulerName}: pluginConfig for unknown plugin ${JSON.stringify(name)}`);
  const multi = merge(DEFAULT_PLUGINS, config.plugins?.multiPoint);
  const at = (point: Point): { plugin: Plugin; weight: number }[] => {
    const own = config.plugins?.[point];
    const disabled = new Set(own?.disabled?.map((d) => d.name));
    const explicit = new Map(own?.enabled?.map((e) => [e.name, e]));
    const out: PluginRef[] = [];
    const general = multi.filter((m) => make(m.name)[METHOD[point]] !== undefined);
    // What a point names itself comes first, unless it is only a new weight of what is there already.
    for (const e of explicit.values()) if (!general.some((m) => m.name === e.name)) out.push(e);
    if (!disabled.has('*'))
      for (const m of general) if (!disabled.has(m.name) || explicit.has(m.name)) out.push(explicit.get(m.name) ?? m);
    if (disabled.has('*')) for (const e of explicit.values()) if (!out.includes(e)) out.push(e);
    return out.map((r) => {
      const plugin = make(r.name);
      if (plugin[METHOD[point]] === undefined)
        throw new Error(`profile ${schedulerName}: plugin ${JSON.stringify(r.name)} has no ${point}`);
      return { plugin, weight: r.weight || (DEFAULT_PLUGINS.find((d) => d.name === r.name)?.weight ?? 1) };
    });
  };
  const points = Object.fromEntries(POINTS.map((p) => [p, at(p)])) as Record<
    Point,
    { plugin: Plugin; weight: number }[]
  >;
  const plugins = (point: Point): Plugin[] => points[point].map((p) => p.plugin);
  if (points.queueSort.length !== 1)
    throw new Error(
      `profile ${schedulerName}: exactly one queue sort plugin is needed, not ${points.queueSort.length}`,
    );
  if (points.bind.length === 0) throw new Error(`profile ${schedulerName}: at least one bind plugin is needed`);
  // Without its Filter (Score), a plugin's PreFilter (PreScore) would be for nothing.
  const both = (a: Point, b: Point) => points[a].filter((p) => points[b].some((q) => q.plugin === p.plugin));
  return {
    schedulerName,
    percentageOfNodesToScore: config.percentageOfNodesToScore,
    plugins: [...new Set(POINTS.flatMap(plugins))],
    queueSort: points.queueSort[0]!.plugin,
    preEnqueue: plugins('preEnqueue'),
    filter: both('filter', 'preFilter').map((p) => p.plugin),
    postFilter: plugins('postFilter'),
    score: both('score', 'preScore'),
    reserve: plugins('reserve'),
    permit: plugins('permit'),
    preBind: plugins('preBind'),
    bind: plugins('bind'),
    postBind: plugins('postBind'),
  };
}
