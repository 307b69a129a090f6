/** `k8ts top nodes|pods`: what nodes and pods use now, the greediest first. */
import { Quantity } from '../../api/quantity.ts';
import { StatusError } from '../../api/status.ts';
import { nodes } from '../../client/resources.ts';
import { asking, type AskOptions } from './ask.ts';
import { UserError, type Context } from './context.ts';

export interface TopOptions extends AskOptions {
  namespace: string;
  allNamespaces?: boolean;
  selector?: string;
}
interface Metrics {
  metadata: { name: string; namespace?: string };
  usage?: Record<string, string>;
  containers?: { usage: Record<string, string> }[];
}
interface Row {
  cells: string[];
  cpu: number;
}

/** Thousandths of a core, and mebibytes. */
const amount = (resource: 'cpu' | 'memory', texts: readonly (string | undefined)[]): number => {
  const sum = texts.reduce((n, t) => n + (Quantity.tryParse(t ?? '0')?.asNumber() ?? 0), 0);
  return resource === 'cpu' ? sum * 1000 : sum / 2 ** 20;
};
const share = (part: number, whole: number) => (whole > 0 ? `${Math.round((part / whole) * 100)}%` : '');

function print(ctx: Context, head: string[], rows: Row[]): void {
  rows.sort((a, b) => b.cpu - a.cpu);
  const all = [head, ...rows.map((r) => r.cells)];
  const widths = head.map((_, i) => Math.max(...all.map((cells) => cells[i]!.length)));
  for (const cells of all)
    ctx.say(
      cells
        .map((c, i) => c.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    );
}

export function top(ctx: Context, what: string, o: TopOptions): Promise<void> {
  const kind = /^(no|node|nodes)$/.test(what) ? 'nodes' : /^(po|pod|pods)$/.test(what) ? 'pods' : undefined;
  if (!kind) throw new UserError('say nodes or pods');
  return asking(o, async (client) => {
    const where = kind === 'pods' && !o.allNamespaces ? `namespaces/${o.namespace}/` : '';
    let items: Metrics[];
    try {
      const path = `/apis/metrics.k8s.io/v1beta1/${where}${kind}`;
      items = (await client.request<{ items: Metrics[] }>({ path, query: { labelSelector: o.selector } })).items;
    } catch (error) {
      if (error instanceof StatusError) throw new UserError(error.message);
      throw error;
    }
    if (items.length === 0) throw new UserError(`nobody has reported on any of these ${kind} yet`);
    if (kind === 'pods')
      return print(
        ctx,
        ['NAMESPACE', 'NAME', 'CPU', 'MEMORY'],
        items.map((m) => {
          const parts = m.containers ?? [];
          const cpu = amount(
            'cpu',
            parts.map((c) => c.usage['cpu']),
          );
          const memory = amount(
            'memory',
            parts.map((c) => c.usage['memory']),
          );
          return {
            cells: [m.metadata.namespace!, m.metadata.name, `${Math.ceil(cpu)}m`, `${Math.round(memory)}Mi`],
            cpu,
          };
        }),
      );
    const sizes = new Map(
      (await client.list(nodes)).items.map((n) => [n.metadata!.name!, n.status?.allocatable ?? {}]),
    );
    print(
      ctx,
      ['NAME', 'CPU', 'CPU%', 'MEMORY', 'MEMORY%'],
      items.map((m) => {
        const size = sizes.get(m.metadata.name) ?? {};
        const cpu = amount('cpu', [m.usage?.['cpu']]);
        const memory = amount('memory', [m.usage?.['memory']]);
        const cells = [
          m.metadata.name,
          `${Math.ceil(cpu)}m`,
          share(cpu, amount('cpu', [size['cpu']])),
          `${Math.round(memory)}Mi`,
          share(memory, amount('memory', [size['memory']])),
        ];
        return { cells, cpu };
      }),
    );
  });
}
