/** Elements without a framework. Text is always set as text, so nothing that a cluster holds can become markup. */

type Child = Node | string | number | undefined | false | readonly Child[];
type Props = Record<string, string | boolean | undefined | ((event: Event) => void)>;

/** An element; properties that are functions are listeners (`onclick`), `undefined` and `false` are left out. */
export function h(tag: string, props: Props = {}, ...children: Child[]): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  append(element, children);
  return element;
}

function append(parent: Node, children: readonly Child[]): void {
  for (const c of children) {
    if (typeof c === 'string' || typeof c === 'number') parent.appendChild(document.createTextNode(String(c)));
    else if (c instanceof Node) parent.appendChild(c);
    else if (c) append(parent, c);
  }
}

/** Replaces what `parent` shows. */
export function show(parent: HTMLElement, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** A table; a row that is a single element spans nothing, cells are as given. */
export function table(heads: readonly string[], rows: readonly (readonly Child[])[]): HTMLElement {
  return h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          heads.map((t) => h('th', {}, t)),
        ),
      ),
      h(
        'tbody',
        {},
        rows.map((cells) =>
          h(
            'tr',
            {},
            cells.map((c) => h('td', {}, c)),
          ),
        ),
      ),
    ),
  );
}

/** A line over the values, from 0 to `max` (defaults to the highest value). */
export function graph(values: readonly number[], max = Math.max(...values, 0)): Element {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 100 100');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', 'graph');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  const step = 100 / Math.max(values.length - 1, 1);
  const points = values.map((v, i) => `${(i * step).toFixed(2)} ${(98 - (max > 0 ? v / max : 0) * 96).toFixed(2)}`);
  path.setAttribute('d', points.length > 1 ? `M${points.join('L')}` : '');
  svg.appendChild(path);
  return svg;
}
