/** One object: conditions, events, its document; for pods their containers and logs, for what scales a number. */
import type { ViewContext } from '../app.ts';
import { get, pathOf, request, type KubeObject, type ResourceName } from '../api.ts';
import { h, show, table } from '../dom.ts';
import { age, amount, state } from '../format.ts';
import { live } from '../live.ts';
import { podPart } from './pod.ts';
import { liveTable } from './resources.ts';
import { usageGraphs } from './usage.ts';
import { showWhy } from './why.ts';

interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}
interface Status {
  conditions?: Condition[];
  capacity?: Record<string, string>;
}

const EVENTS: ResourceName = { group: '', version: 'v1', resource: 'events' };
const PODS: ResourceName = { group: '', version: 'v1', resource: 'pods' };
const SCALES = new Set(['deployments', 'statefulsets', 'replicasets', 'replicationcontrollers']);

export function objectView(ctx: ViewContext, r: ResourceName, namespace: string | undefined, name: string): void {
  const path = pathOf(r, namespace, name);
  const head = h('div', { class: 'row' });
  const why = h('div');
  const conditions = h('div');
  const special = h('div');
  const pods = h('div');
  const events = h('div', { class: 'card' });
  const source = h('pre', { class: 'source' });
  show(ctx.root, h('h1', {}, name), head, why, conditions, special, pods, h('h2', {}, 'Events'), events);
  ctx.root.append(h('details', { class: 'card' }, h('summary', {}, 'Document'), source));

  let first = true;
  const one = `${pathOf(r, namespace)}?fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
  live(
    one,
    ctx.signal,
    (t) => {
      const object = t.rows[0]?.object;
      if (!object) return show(head, h('span', { class: 'bad' }, 'It is not there (any more).'));
      drawHead(object);
      void showWhy(why, r, namespace, name);
      const status = object['status'] as Status | undefined;
      show(conditions, conditionTable(status?.conditions ?? []));
      source.textContent = JSON.stringify(withoutManagers(object), undefined, 2);
      if (first) once(object, status);
      first = false;
    },
    ctx.failed,
    true,
  );

  /** What follows by itself from then on. */
  function once(object: KubeObject, status: Status | undefined): void {
    if (r.group === '' && r.resource === 'pods') podPart(ctx, special, namespace!, name);
    if (r.group === '' && r.resource === 'nodes') {
      const limits = { cpu: amount(status?.capacity?.['cpu']), memory: amount(status?.capacity?.['memory']) };
      show(special, usageGraphs(ctx, `nodes/${name}`, limits));
      follow(`${pathOf(PODS)}?fieldSelector=spec.nodeName%3D${name}`);
    }
    const selector = (object['spec'] as { selector?: { matchLabels?: Record<string, string> } } | undefined)?.selector
      ?.matchLabels;
    if (selector && namespace && (r.group === 'apps' || r.group === 'batch')) {
      const text = Object.entries(selector).map(([k, v]) => `${k}=${v}`);
      follow(`${pathOf(PODS, namespace)}?labelSelector=${encodeURIComponent(text.join(','))}`);
    }
    followEvents(object);
  }

  function follow(podPath: string): void {
    const draw = (t: Parameters<typeof liveTable>[1]) =>
      show(pods, h('div', { class: 'card' }, h('h2', {}, 'Pods'), liveTable(PODS, t, !namespace)));
    live(podPath, ctx.signal, draw, ctx.failed);
  }

  function followEvents(object: KubeObject): void {
    const of = `involvedObject.name=${name}${object.metadata.uid && r.resource !== 'nodes' ? `,involvedObject.uid=${object.metadata.uid}` : ''}`;
    live(
      `${pathOf(EVENTS, namespace)}?fieldSelector=${encodeURIComponent(of)}`,
      ctx.signal,
      (t) => {
        const rows = t.rows.map((row) => row.object as KubeObject & Record<string, string | undefined>);
        const when = (e: (typeof rows)[number]) => e['lastTimestamp'] ?? e['eventTime'] ?? '';
        rows.sort((a, b) => (when(a) < when(b) ? 1 : -1));
        show(
          events,
          rows.length === 0
            ? h('span', { class: 'soft' }, 'None.')
            : table(
                ['When', 'Type', 'Reason', 'Message'],
                rows.map((e) => [age(when(e)), state(e['type'] ?? ''), e['reason'], e['message']]),
              ),
        );
      },
      ctx.failed,
      true,
    );
  }

  function drawHead(object: KubeObject): void {
    const { metadata } = object;
    const replicas = (object['spec'] as { replicas?: number } | undefined)?.replicas;
    show(
      head,
      namespace && h('span', { class: 'soft' }, namespace),
      h('span', { class: 'soft' }, `created ${age(metadata.creationTimestamp)} ago`),
      metadata.deletionTimestamp !== undefined && h('span', { class: 'warn' }, 'being deleted'),
      SCALES.has(r.resource) && [
        h('button', { onclick: () => void scale((replicas ?? 1) - 1) }, '−'),
        h('span', { class: 'replicas' }, `${replicas ?? 1} replicas`),
        h('button', { onclick: () => void scale((replicas ?? 1) + 1) }, '+'),
      ],
      h('button', { class: 'danger', onclick: () => void remove() }, 'Delete'),
    );
  }

  async function scale(to: number): Promise<void> {
    if (to < 0) return;
    await request(`${path}/scale`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/merge-patch+json' },
      body: JSON.stringify({ spec: { replicas: to } }),
    }).catch(ctx.failed);
  }

  async function remove(): Promise<void> {
    const object = await get<KubeObject>(path).catch(ctx.failed);
    if (!object || !confirm(`Delete ${r.resource}/${name}?`)) return;
    await request(path, {
      method: 'DELETE',
      headers: { 'content-type': 'application/json' },
      // what was looked at, not another of the same name
      body: JSON.stringify({ propagationPolicy: 'Background', preconditions: { uid: object.metadata.uid } }),
    }).catch(ctx.failed);
  }
}

function conditionTable(list: readonly Condition[]): HTMLElement | undefined {
  if (list.length === 0) return undefined;
  return h(
    'div',
    { class: 'card' },
    h('h2', {}, 'Conditions'),
    table(
      ['Type', 'Status', 'Since', 'Reason', 'Message'],
      list.map((c) => [c.type, c.status, age(c.lastTransitionTime), c.reason, c.message]),
    ),
  );
}

function withoutManagers(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
