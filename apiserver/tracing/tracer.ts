/** Traces of requests (KEP-647): a span for each sampled request, with one for each of its questions to the store. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock, Ids, Rand } from '../../base/clock.ts';
import type { ApiRequest } from '../http/request.ts';
import type { SpanExporter } from './otlp.ts';

/** A request whose trace is kept. */
interface Sampled {
  readonly traceId: string;
  readonly spanId: string;
}

/** A span that isn't over. */
export interface OpenSpan {
  end(error?: unknown): void;
}

export interface Tracer {
  /** Runs a request's work, within a span when it is sampled; `code` tells how it ended, with the error if any. */
  request(request: ApiRequest, work: () => Promise<void>, code: (error: unknown) => number): Promise<void>;
  /** A piece of work of the current request; undefined outside of sampled ones. */
  child(name: string, attributes: Readonly<Record<string, string | number>>): OpenSpan | undefined;
  close(): Promise<void>;
}

export interface TracerOptions {
  clock: Clock;
  ids: Ids;
  rand: Rand;
  exporter: SpanExporter;
  /** How many of a million requests begin a trace of their own. */
  samplingRatePerMillion: number;
}

/** Members of these groups may continue their own traces here. */
const TRUSTED = ['system:masters', 'system:monitoring'];
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export function createTracer(options: TracerOptions): Tracer {
  const { clock, ids, rand, exporter } = options;
  const current = new AsyncLocalStorage<Sampled>();
  const hex = (length: number) => ids.uuid().replaceAll('-', '').slice(0, length);
  /** Wall time of a moment of the steady clock; one anchor for all, so that spans stay in order. */
  const origin = clock.now() - clock.monotonic();
  const wall = (at: number) => origin + at;

  function parentOf(request: ApiRequest): { traceId: string; parentId: string; sampled: boolean } | undefined {
    const m = TRACEPARENT.exec(request.header('traceparent') ?? '');
    if (!m || /^0+$/.test(m[1]!) || /^0+$/.test(m[2]!)) return undefined;
    if (!request.user.groups.some((g) => TRUSTED.includes(g))) return undefined;
    return { traceId: m[1]!, parentId: m[2]!, sampled: (Number.parseInt(m[3]!, 16) & 1) === 1 };
  }

  return {
    async request(request, work, code) {
      const parent = parentOf(request);
      const isSampled = parent ? parent.sampled : rand.next() * 1_000_000 < options.samplingRatePerMillion;
      if (!isSampled) return work();
      const sampled: Sampled = { traceId: parent?.traceId ?? hex(32), spanId: hex(16) };
      let failed: unknown;
      try {
        await current.run(sampled, work);
      } catch (error) {
        failed = error;
        throw error;
      } finally {
        const status = code(failed);
        exporter.add({
          ...sampled,
          parentId: parent?.parentId,
          name: spanName(request),
          kind: 'server',
          start: wall(request.receivedAt),
          end: wall(clock.monotonic()),
          attributes: {
            'http.request.method': request.method,
            'url.path': request.path,
            'http.response.status_code': status,
            'user_agent.original': request.header('user-agent') ?? '',
            'audit-id': request.auditId,
          },
          ...(status >= 500 ? { error: `HTTP ${status}` } : {}),
        });
      }
    },
    child(name, attributes) {
      const within = current.getStore();
      if (!within) return undefined;
      const start = wall(clock.monotonic());
      return {
        end(error) {
          const { traceId, spanId: parentId } = within;
          const failed = error === undefined ? {} : { error: error instanceof Error ? error.message : 'failed' };
          exporter.add({
            traceId,
            spanId: hex(16),
            parentId,
            name,
            kind: 'client',
            start,
            end: wall(clock.monotonic()),
            attributes,
            ...failed,
          });
        },
      };
    },
    close: () => exporter.close(),
  };
}

/** The method and the path with its names left out. */
function spanName(request: ApiRequest): string {
  const { info } = request;
  if (!info.isResourceRequest) return `HTTP ${request.method}`;
  const parts = [info.apiPrefix, info.apiGroup, info.apiVersion].filter(Boolean);
  if (info.namespace !== '') parts.push('namespaces', '{:namespace}');
  parts.push(info.resource);
  if (info.parts.length > 1) parts.push('{:name}');
  if (info.subresource !== '') parts.push(info.subresource);
  return `${request.method} /${parts.join('/')}`;
}
