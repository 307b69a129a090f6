/** A profile whose plugins are timed, for the few attempts that stand for all: each call for each node costs two looks at a clock. */
import type { Clock } from '../base/clock.ts';
import type { Failure, NodeFilter, NodeScorer, Plugin } from './core/framework.ts';
import type { Profile } from './profile.ts';

export interface PluginTimes {
  /** A call took so many seconds; `status` is `Success`, `Skip` or why not. */
  plugin(name: string, point: string, status: string, seconds: number): void;
}

/** The same decisions, and told how long each plugin took at each point. */
export function measureProfile(profile: Profile, times: PluginTimes, clock: Clock): Profile {
  const made = new Map<Plugin, Plugin>();
  const one = (p: Plugin): Plugin => {
    let m = made.get(p);
    if (!m) made.set(p, (m = measurePlugin(p, times, clock)));
    return m;
  };
  const all = (list: readonly Plugin[]) => list.map(one);
  return {
    ...profile,
    filter: all(profile.filter),
    postFilter: all(profile.postFilter),
    score: profile.score.map((s) => ({ ...s, plugin: one(s.plugin) })),
    reserve: all(profile.reserve),
    permit: all(profile.permit),
    preBind: all(profile.preBind),
    bind: all(profile.bind),
    postBind: all(profile.postBind),
  };
}

function measurePlugin(p: Plugin, times: PluginTimes, clock: Clock): Plugin {
  const end = (point: string, began: number, failure: Failure | undefined, without = 'Success') =>
    times.plugin(p.name, point, failure?.code ?? without, (clock.monotonic() - began) / 1000);
  const later = async <T>(point: string, work: Promise<T>, failureOf: (answer: T) => Failure | undefined) => {
    const began = clock.monotonic();
    try {
      const answer = await work;
      end(point, began, failureOf(answer));
      return answer;
    } catch (error) {
      end(point, began, undefined, 'Error');
      throw error;
    }
  };
  const filter = (f: NodeFilter): NodeFilter => ({
    filter(node) {
      const began = clock.monotonic();
      const failure = f.filter(node);
      end('Filter', began, failure);
      return failure;
    },
    addPod: f.addPod && ((pod, node) => f.addPod!(pod, node)),
    removePod: f.removePod && ((pod, node) => f.removePod!(pod, node)),
    clone: f.clone && (() => filter(f.clone!())),
  });
  const scorer = (s: NodeScorer): NodeScorer => ({
    score(node) {
      const began = clock.monotonic();
      const score = s.score(node);
      end('Score', began, undefined);
      return score;
    },
    normalize:
      s.normalize &&
      ((scores, nodes) => {
        const began = clock.monotonic();
        s.normalize!(scores, nodes);
        end('ScoreExtensionNormalize', began, undefined);
      }),
  });
  return {
    name: p.name,
    preFilter(pod, cycle) {
      const began = clock.monotonic();
      const r = p.preFilter!(pod, cycle);
      end('PreFilter', began, r?.failure, r ? 'Success' : 'Skip');
      return r?.filter ? { ...r, filter: filter(r.filter) } : r;
    },
    postFilter: (cycle, trial) => later('PostFilter', Promise.resolve(p.postFilter!(cycle, trial)), () => undefined),
    preScore(pod, cycle, nodes) {
      const began = clock.monotonic();
      const s = p.preScore!(pod, cycle, nodes);
      end('PreScore', began, undefined, s ? 'Success' : 'Skip');
      return s && scorer(s);
    },
    reserve(cycle, node) {
      const began = clock.monotonic();
      const failure = p.reserve!(cycle, node);
      end('Reserve', began, failure);
      return failure;
    },
    unreserve(cycle, nodeName) {
      if (!p.unreserve) return;
      const began = clock.monotonic();
      p.unreserve(cycle, nodeName);
      end('Unreserve', began, undefined);
    },
    permit(cycle, nodeName) {
      const began = clock.monotonic();
      const answer = p.permit!(cycle, nodeName);
      const waits = typeof answer === 'number';
      end('Permit', began, waits ? undefined : answer, waits ? 'Wait' : 'Success');
      return answer;
    },
    preBind(cycle, nodeName) {
      const work = p.preBind!(cycle, nodeName);
      return work && later('PreBind', work, (f) => f);
    },
    bind: (cycle, nodeName) => later('Bind', p.bind!(cycle, nodeName), () => undefined),
    postBind(cycle, nodeName) {
      const began = clock.monotonic();
      p.postBind!(cycle, nodeName);
      end('PostBind', began, undefined);
    },
  };
}
