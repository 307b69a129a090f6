/** A pod's containers, its log as it is written, and what it uses. */
import type { ViewContext } from '../app.ts';
import { lines, pathOf, type KubeObject, type ResourceName } from '../api.ts';
import { h, show, table } from '../dom.ts';
import { age, state } from '../format.ts';
import { live } from '../live.ts';
import { usageGraphs } from './usage.ts';

const PODS: ResourceName = { group: '', version: 'v1', resource: 'pods' };
const KEPT_LINES = 2000;

interface ContainerStatus {
  name: string;
  image: string;
  ready: boolean;
  restartCount: number;
  state?: Record<string, { reason?: string; message?: string; startedAt?: string; exitCode?: number }>;
}
interface Pod extends KubeObject {
  spec: { nodeName?: string; containers: { name: string }[]; initContainers?: { name: string }[] };
  status?: {
    podIP?: string;
    phase?: string;
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
  };
}

function stateOf(c: ContainerStatus): HTMLElement {
  const [kind, detail] = Object.entries(c.state ?? {})[0] ?? ['waiting', {}];
  const word = detail.reason ?? (kind === 'running' ? 'Running' : kind);
  return h('span', {}, state(word), detail.message ? h('div', { class: 'soft' }, detail.message) : undefined);
}

export function podPart(ctx: ViewContext, root: HTMLElement, namespace: string, name: string): void {
  const containers = h('div', { class: 'card' });
  const choose = h('select', { 'aria-label': 'Container' }) as HTMLSelectElement;
  const log = h('pre', { class: 'log' });
  show(
    root,
    containers,
    usageGraphs(ctx, `namespaces/${namespace}/pods/${name}`),
    h('div', { class: 'card' }, h('div', { class: 'row' }, h('h2', {}, 'Log'), choose), log),
  );
  let following: AbortController | undefined;
  let followed = '';

  function follow(container: string): void {
    following?.abort();
    following = new AbortController();
    const { signal } = following;
    followed = container;
    show(log);
    const path = `${pathOf(PODS, namespace, name, 'log')}?follow=true&tailLines=500&container=${container}`;
    const waiting: string[] = [];
    const flush = () => {
      const low = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      log.append(waiting.splice(0).join('\n') + '\n');
      while (log.childNodes.length > KEPT_LINES) log.firstChild!.remove();
      if (low) log.scrollTop = log.scrollHeight;
    };
    void (async () => {
      try {
        for await (const line of lines(path, signal, '*/*')) if (waiting.push(line) === 1) requestAnimationFrame(flush);
      } catch (error) {
        // A container that hasn't started has no log: the next change of the pod asks again.
        if (!signal.aborted) show(log, (error as Error).message);
      }
      if (!signal.aborted) followed = '';
    })();
  }
  choose.addEventListener('change', () => follow(choose.value));
  ctx.signal.addEventListener('abort', () => following?.abort());

  live(
    `${pathOf(PODS, namespace)}?fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`,
    ctx.signal,
    (t) => {
      const pod = t.rows[0]?.object as Pod | undefined;
      if (!pod) return;
      const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
      show(
        containers,
        h('h2', {}, `Containers${pod.spec.nodeName ? ` on ${pod.spec.nodeName}` : ''} ${pod.status?.podIP ?? ''}`),
        table(
          ['Name', 'State', 'Ready', 'Restarts', 'Started', 'Image'],
          statuses.map((c) => [
            c.name,
            stateOf(c),
            c.ready ? 'yes' : 'no',
            c.restartCount,
            age(c.state?.['running']?.startedAt),
            c.image,
          ]),
        ),
      );
      const names = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map((c) => c.name);
      if (choose.options.length !== names.length)
        show(
          choose,
          names.map((n) => h('option', { value: n }, n)),
        );
      if (!followed && statuses.some((c) => c.name === choose.value && c.state?.['running'])) follow(choose.value);
    },
    ctx.failed,
    true,
  );
}
