/** Why an object isn't what it should be, and what would help, as explain.k8ts.io tells. */
import type { Explanation, Reason } from '../../../insight/explain/model.ts';
import { get, pathOf, type ResourceName } from '../api.ts';
import { h, show } from '../dom.ts';

/** Nodes of which more is told than the count. */
const MOST_NODES = 20;

function reasonList(reasons: readonly Reason[]): HTMLElement {
  return h(
    'ul',
    {},
    reasons.map((r) =>
      h(
        'li',
        {},
        r.message,
        r.because && r.because.length > 0 && reasonList(r.because),
        r.fix !== undefined && h('div', { class: 'good' }, r.fix),
      ),
    ),
  );
}

function card(e: Explanation): HTMLElement {
  const nodes = (e.nodes ?? []).filter((n) => !n.fits);
  return h(
    'div',
    { class: 'card why' },
    h('h2', {}, e.state === 'Deleting' ? 'Why it is still there' : 'Why it waits'),
    h('p', {}, e.summary),
    reasonList(e.reasons),
    nodes.slice(0, MOST_NODES).map((n) => [
      h('b', {}, n.node),
      h(
        'ul',
        {},
        n.objections.map((o) => h('li', {}, `${o.plugin}: ${o.reasons.join(', ')}`)),
      ),
    ]),
    nodes.length > MOST_NODES && h('p', { class: 'soft' }, `and ${nodes.length - MOST_NODES} more nodes`),
    e.smallestChange && [
      h('b', {}, `The smallest change that ${e.smallestChange.tried ? 'makes' : 'may make'} it fit`),
      h(
        'ul',
        { class: 'good' },
        e.smallestChange.changes.map((c) => h('li', {}, c)),
      ),
    ],
  );
}

/** Asks, and shows the answer in `root` when something is in the way. Call it again when the object has changed. */
export async function showWhy(
  root: HTMLElement,
  r: ResourceName,
  namespace: string | undefined,
  name: string,
): Promise<void> {
  const called = r.group ? `${r.resource}.${r.group}` : r.resource;
  const of: ResourceName = { group: 'explain.k8ts.io', version: 'v1', resource: called };
  // Without the right to ask, or the one who answers, the rest of the page still serves.
  const e = await get<Explanation>(pathOf(of, namespace, name)).catch(() => undefined);
  show(root, e !== undefined && (e.state === 'Waiting' || e.state === 'Deleting') && card(e));
}
