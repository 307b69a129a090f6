/** Any resource as the table that kubectl shows, kept true while it is open. */
import type { ViewContext } from '../app.ts';
import { pathOf, type KubeObject, type ResourceName } from '../api.ts';
import { h, show, table } from '../dom.ts';
import { age, state } from '../format.ts';
import { live, type LiveTable } from '../live.ts';

const STATES = new Set(['Status', 'Phase', 'Type', 'Condition']);

/** Where one object is shown. */
export const objectLink = (r: ResourceName, o: KubeObject): string =>
  `#/object/${r.group || '-'}/${r.version}/${r.resource}/${o.metadata.namespace ?? '-'}/${encodeURIComponent(o.metadata.name ?? '')}`;

/** The cells of a live table as the page shows them; `namespaces` adds a column for them. */
export function liveTable(r: ResourceName, t: LiveTable, namespaces: boolean): HTMLElement {
  const shown = t.columns.map((c, i) => ({ ...c, i })).filter((c) => c.priority === 0);
  return table(
    [...(namespaces ? ['Namespace'] : []), ...shown.map((c) => c.name)],
    t.rows.map((row) => [
      ...(namespaces ? [row.object.metadata.namespace ?? ''] : []),
      ...shown.map((c) => {
        const cell = row.cells[c.i];
        const text = cell === null || cell === undefined ? '' : String(cell);
        if (c.name === 'Name') return h('a', { href: objectLink(r, row.object) }, text);
        if (c.name === 'Age') return age(row.object.metadata.creationTimestamp);
        return STATES.has(c.name) ? state(text) : text;
      }),
    ]),
  );
}

export function resourceList(ctx: ViewContext, r: ResourceName): void {
  const find = h('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter' }) as HTMLInputElement;
  const body = h('div', { class: 'card' });
  const count = h('span', { class: 'soft' });
  let last: LiveTable | undefined;
  const draw = () => {
    if (!last) return;
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = last.rows.filter((row) => {
      const text = `${row.object.metadata.namespace ?? ''} ${row.cells.join(' ')}`.toLowerCase();
      return words.every((w) => text.includes(w));
    });
    const namespaced = rows.some((row) => row.object.metadata.namespace !== undefined);
    count.textContent = `${rows.length} of ${last.rows.length}`;
    show(body, liveTable(r, { ...last, rows }, namespaced && !ctx.namespace));
  };
  find.addEventListener('input', draw);
  show(ctx.root, h('h1', {}, r.resource), h('div', { class: 'row' }, find, count), body);
  const follow = (namespace: string | undefined) =>
    live(
      pathOf(r, namespace),
      ctx.signal,
      (t) => {
        last = t;
        draw();
      },
      (error) => {
        // What has no namespace isn't found below one.
        if (error.code === 404 && namespace) follow(undefined);
        else show(body, h('p', { class: 'bad' }, error.message));
      },
    );
  follow(ctx.namespace);
}
