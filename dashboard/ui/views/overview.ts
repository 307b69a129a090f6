/** The cluster at a glance: nodes, pods by state, workloads that aren't complete, what went wrong lately. */
import type { ViewContext } from '../app.ts';
import { pathOf, type KubeObject, type ResourceName } from '../api.ts';
import { h, show, table } from '../dom.ts';
import { age, amount, state } from '../format.ts';
import { live, type LiveTable } from '../live.ts';
import { objectLink } from './resources.ts';
import { usageGraphs } from './usage.ts';

const PODS: ResourceName = { group: '', version: 'v1', resource: 'pods' };
const NODES: ResourceName = { group: '', version: 'v1', resource: 'nodes' };
const EVENTS: ResourceName = { group: '', version: 'v1', resource: 'events' };
const WORKLOADS = ['deployments', 'statefulsets', 'daemonsets'].map((resource): ResourceName => ({
  group: 'apps',
  version: 'v1',
  resource,
}));

interface Workload extends KubeObject {
  spec: { replicas?: number };
  status?: { readyReplicas?: number; numberReady?: number; desiredNumberScheduled?: number };
}
interface Event extends KubeObject {
  type?: string;
  reason?: string;
  message?: string;
  lastTimestamp?: string;
  eventTime?: string;
  involvedObject?: { kind?: string; name?: string };
}

const column = (t: LiveTable, name: string) => t.columns.findIndex((c) => c.name === name);
const readiness = (w: Workload): [number, number] => [
  w.status?.readyReplicas ?? w.status?.numberReady ?? 0,
  w.status?.desiredNumberScheduled ?? w.spec.replicas ?? 0,
];

export function overview(ctx: ViewContext): void {
  const nodes = h('div', { class: 'card' });
  const pods = h('div', { class: 'card' });
  const waiting = h('div', { class: 'card' });
  const events = h('div', { class: 'card' });
  const usage = h('div');
  show(
    ctx.root,
    h('h1', {}, 'Overview'),
    h('div', { class: 'cards' }, nodes, pods),
    usage,
    waiting,
    h('h2', {}, 'Warnings'),
    events,
  );
  const refused = (box: HTMLElement) => (error: Error) => show(box, h('span', { class: 'soft' }, error.message));

  let graphs = false;
  live(
    pathOf(NODES),
    ctx.signal,
    (t) => {
      const ready = t.rows.filter((r) => String(r.cells[column(t, 'Status')]).startsWith('Ready')).length;
      show(
        nodes,
        h('h2', {}, h('a', { href: '#/list/-/v1/nodes' }, 'Nodes')),
        h('div', { class: `figure ${ready === t.rows.length ? 'good' : 'bad'}` }, `${ready} / ${t.rows.length}`),
        h('div', { class: 'soft' }, 'ready'),
      );
      if (graphs) return;
      graphs = true;
      const total = { cpu: 0, memory: 0 };
      for (const r of t.rows) {
        const capacity = (r.object as { status?: { capacity?: Record<string, string> } }).status?.capacity;
        total.cpu += amount(capacity?.['cpu']);
        total.memory += amount(capacity?.['memory']);
      }
      show(usage, usageGraphs(ctx, 'nodes', total));
    },
    refused(nodes),
    true,
  );
  live(
    pathOf(PODS, ctx.namespace),
    ctx.signal,
    (t) => {
      const by = new Map<string, number>();
      const at = column(t, 'Status');
      for (const r of t.rows) by.set(String(r.cells[at]), (by.get(String(r.cells[at])) ?? 0) + 1);
      show(
        pods,
        h('h2', {}, h('a', { href: '#/list/-/v1/pods' }, 'Pods')),
        h('div', { class: 'figure' }, t.rows.length),
        [...by].sort((a, b) => b[1] - a[1]).map(([s, n]) => h('div', {}, `${n} `, state(s))),
      );
    },
    refused(pods),
  );

  const incomplete = new Map<string, { r: ResourceName; o: Workload }[]>();
  for (const r of WORKLOADS)
    live(
      pathOf(r, ctx.namespace),
      ctx.signal,
      (t) => {
        const all = t.rows.map((row) => ({ r, o: row.object as Workload }));
        incomplete.set(
          r.resource,
          all.filter(({ o }) => readiness(o)[0] < readiness(o)[1]),
        );
        const list = [...incomplete.values()].flat();
        show(
          waiting,
          h('h2', {}, 'Workloads that wait'),
          list.length === 0 && h('span', { class: 'good' }, 'None: everything that should run is ready.'),
          list.length > 0 &&
            table(
              ['Kind', 'Namespace', 'Name', 'Ready'],
              list.map((w) => [
                w.r.resource,
                w.o.metadata.namespace,
                h('a', { href: objectLink(w.r, w.o) }, w.o.metadata.name),
                h('span', { class: 'warn' }, readiness(w.o).join(' / ')),
              ]),
            ),
        );
      },
      refused(waiting),
      true,
    );

  live(
    `${pathOf(EVENTS, ctx.namespace)}?fieldSelector=type%3DWarning`,
    ctx.signal,
    (t) => {
      const when = (e: Event) => e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp ?? '';
      const list = t.rows.map((r) => r.object as Event).sort((a, b) => (when(a) < when(b) ? 1 : -1));
      show(
        events,
        list.length === 0
          ? h('span', { class: 'soft' }, 'No warnings.')
          : table(
              ['When', 'Object', 'Reason', 'Message'],
              list
                .slice(0, 30)
                .map((e) => [
                  age(when(e)),
                  `${e.involvedObject?.kind ?? ''}/${e.involvedObject?.name ?? ''}`,
                  e.reason,
                  e.message,
                ]),
            ),
      );
    },
    refused(events),
    true,
  );
}
