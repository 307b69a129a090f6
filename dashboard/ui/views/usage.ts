/** What nodes and pods use, as metrics.k8s.io tells; followed while a view is open. */
import type { ViewContext } from '../app.ts';
import { ApiError, get } from '../api.ts';
import { graph, h, show } from '../dom.ts';
import { amount, cores, mebibytes } from '../format.ts';

interface Usage {
  cpu?: string;
  memory?: string;
}
interface Metrics {
  usage?: Usage;
  containers?: { usage: Usage }[];
  items?: Metrics[];
}

const EVERY_MS = 10_000;
const KEPT = 60;

/** Cores and bytes of a metrics object, or of all in a list. */
function sum(m: Metrics): { cpu: number; memory: number } {
  const parts =
    m.items?.map(sum) ??
    [...(m.usage ? [m.usage] : []), ...(m.containers ?? []).map((c) => c.usage)].map((u) => ({
      cpu: amount(u.cpu),
      memory: amount(u.memory),
    }));
  return parts.reduce((a, b) => ({ cpu: a.cpu + b.cpu, memory: a.memory + b.memory }), { cpu: 0, memory: 0 });
}

/** Two graphs of a path below metrics.k8s.io/v1beta1 (`nodes`, `nodes/NAME`, `namespaces/NS/pods/NAME`). */
export function usageGraphs(ctx: ViewContext, path: string, limits?: { cpu: number; memory: number }): HTMLElement {
  const box = h('div', { class: 'cards' });
  const history: { cpu: number; memory: number }[] = [];
  const draw = async () => {
    try {
      history.push(sum(await get<Metrics>(`/apis/metrics.k8s.io/v1beta1/${path}`)));
    } catch (error) {
      const why = error instanceof ApiError && error.code === 404 ? 'No measurements yet.' : 'No measurements.';
      if (history.length === 0) show(box, h('div', { class: 'card soft' }, why));
      return;
    }
    if (history.length > KEPT) history.shift();
    const now = history[history.length - 1]!;
    const of = (text: string, limit: number | undefined, format: (n: number) => string) =>
      limit ? `${text} of ${format(limit)}` : text;
    show(
      box,
      h(
        'div',
        { class: 'card' },
        h('h2', {}, 'CPU'),
        h('div', { class: 'soft' }, of(`${cores(now.cpu)} cores`, limits?.cpu, cores)),
        graph(
          history.map((x) => x.cpu),
          limits?.cpu,
        ) as HTMLElement,
      ),
      h(
        'div',
        { class: 'card' },
        h('h2', {}, 'Memory'),
        h('div', { class: 'soft' }, of(mebibytes(now.memory), limits?.memory, mebibytes)),
        graph(
          history.map((x) => x.memory),
          limits?.memory,
        ) as HTMLElement,
      ),
    );
  };
  void draw();
  const timer = setInterval(() => void draw(), EVERY_MS);
  ctx.signal.addEventListener('abort', () => clearInterval(timer));
  return box;
}
