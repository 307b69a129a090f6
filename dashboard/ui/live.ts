/** What is on the screen follows the cluster: a list, then a watch, then a list again when history is lost. */
import { AS_TABLE, ApiError, get, lines, type Table } from './api.ts';

type Row = Table['rows'][number];

export interface LiveTable {
  columns: Table['columnDefinitions'];
  rows: readonly Row[];
}

const RETRY_MS = 2000;

const with_ = (path: string, query: string) => `${path}${path.includes('?') ? '&' : '?'}${query}`;

/**
 * Calls `changed` with the table of a path now and after each change (once per frame), until `signal` ends it. Whole
 * objects come along when `whole` is set, else only their metadata.
 */
export function live(
  path: string,
  signal: AbortSignal,
  changed: (table: LiveTable) => void,
  failed: (error: ApiError) => void,
  whole = false,
): void {
  const rows = new Map<string, Row>();
  let columns: Table['columnDefinitions'] = [];
  let frame = 0;
  const key = (r: Row) => `${r.object.metadata.namespace ?? ''}/${r.object.metadata.name ?? ''}`;
  const draw = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (signal.aborted) return;
      const sorted = [...rows.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, r]) => r);
      changed({ columns, rows: sorted });
    });
  };
  const query = whole ? 'includeObject=Object' : 'includeObject=Metadata';

  async function follow(): Promise<void> {
    const first = await get<Table>(with_(path, query), AS_TABLE);
    rows.clear();
    columns = first.columnDefinitions;
    for (const r of first.rows) rows.set(key(r), r);
    draw();
    let version = first.metadata?.resourceVersion ?? '';
    for (;;) {
      const watch = with_(path, `${query}&watch=true&allowWatchBookmarks=true&resourceVersion=${version}`);
      for await (const line of lines(watch, signal, AS_TABLE)) {
        const event = JSON.parse(line) as { type: string; object: Table & { metadata?: { resourceVersion?: string } } };
        if (event.type === 'ERROR') return;
        for (const r of event.object.rows ?? []) {
          version = r.object.metadata.resourceVersion ?? version;
          if (event.type === 'DELETED') rows.delete(key(r));
          else if (event.type !== 'BOOKMARK') rows.set(key(r), r);
        }
        if (event.type !== 'BOOKMARK') draw();
      }
    }
  }

  void (async () => {
    while (!signal.aborted) {
      try {
        await follow();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && [401, 403, 404].includes(error.code)) return failed(error);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  })();
}
