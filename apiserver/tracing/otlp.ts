/** Spans on their way out: OpenTelemetry's trace protocol over gRPC (opentelemetry.proto.collector.trace.v1). */
import type { Clock, Timer } from '../../base/clock.ts';
import { lazyModule } from '../../base/lazy.ts';
import type { Logger } from '../../base/log.ts';

const grpc = lazyModule<typeof import('@grpc/grpc-js')>(import.meta.url, '@grpc/grpc-js');

/** One finished piece of work. */
export interface SpanData {
  /** 32 and 16 hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  /** Milliseconds since the epoch, fractional. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** What went wrong. */
  readonly error?: string;
}

const KINDS = { internal: 1, server: 2, client: 3 } as const;
const METHOD = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

function varint(value: number): Buffer {
  const out: number[] = [];
  let v = value;
  for (; v >= 128; v = Math.floor(v / 128)) out.push((v % 128) | 128);
  out.push(v);
  return Buffer.from(out);
}
const tag = (field: number, wire: number) => varint(field * 8 + wire);
const bytes = (field: number, value: Buffer) => Buffer.concat([tag(field, 2), varint(value.length), value]);
const text = (field: number, value: string) => bytes(field, Buffer.from(value));
const number = (field: number, value: number) => Buffer.concat([tag(field, 0), varint(value)]);
function nanos(field: number, milliseconds: number): Buffer {
  const out = Buffer.alloc(8);
  const whole = Math.floor(milliseconds);
  out.writeBigUInt64LE(BigInt(whole) * 1_000_000n + BigInt(Math.round((milliseconds - whole) * 1e6)));
  return Buffer.concat([tag(field, 1), out]);
}
const attribute = (field: number, key: string, value: string | number) =>
  bytes(field, Buffer.concat([text(1, key), bytes(2, typeof value === 'string' ? text(1, value) : number(3, value))]));
const attributes = (field: number, all: Readonly<Record<string, string | number>>) =>
  Object.entries(all).map(([k, v]) => attribute(field, k, v));

function encodeSpan(s: SpanData): Buffer {
  return Buffer.concat([
    bytes(1, Buffer.from(s.traceId, 'hex')),
    bytes(2, Buffer.from(s.spanId, 'hex')),
    ...(s.parentId === undefined ? [] : [bytes(4, Buffer.from(s.parentId, 'hex'))]),
    text(5, s.name),
    number(6, KINDS[s.kind]),
    nanos(7, s.start),
    nanos(8, s.end),
    ...attributes(9, s.attributes),
    ...(s.error === undefined ? [] : [bytes(15, Buffer.concat([text(2, s.error), number(3, 2)]))]),
  ]);
}

/** An ExportTraceServiceRequest. */
function encodeExport(resource: Readonly<Record<string, string>>, spans: readonly SpanData[]): Buffer {
  const scope = bytes(1, text(1, 'k8s.io/apiserver'));
  const scopeSpans = Buffer.concat([scope, ...spans.map((s) => bytes(2, encodeSpan(s)))]);
  return bytes(1, Buffer.concat([bytes(1, Buffer.concat(attributes(1, resource))), bytes(2, scopeSpans)]));
}

export interface SpanExporter {
  /** Takes a span; never waits. */
  add(span: SpanData): void;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** Spans that wait at most; more are lost. */
const MAX_WAITING = 2048;
const BATCH = 512;
const FLUSH_MS = 5000;
const TIMEOUT_MS = 10_000;

/** Sends spans in batches to a collector at `endpoint` (host:port), without TLS, as upstream does. */
export function createOtlpExporter(options: {
  clock: Clock;
  logger: Logger;
  endpoint: string;
  resource: Readonly<Record<string, string>>;
}): SpanExporter {
  const { clock, logger, resource } = options;
  const { Client, credentials } = grpc();
  const client = new Client(options.endpoint, credentials.createInsecure());
  let waiting: SpanData[] = [];
  let lost = 0;
  let timer: Timer | undefined;
  let sending: Promise<void> | undefined;

  const post = (body: Buffer) =>
    new Promise<void>((resolve, reject) => {
      const same = (b: Buffer) => b;
      const deadline = clock.now() + TIMEOUT_MS;
      client.makeUnaryRequest(METHOD, same, same, body, { deadline }, (error) => (error ? reject(error) : resolve()));
    });

  async function send(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH);
      try {
        await post(encodeExport(resource, batch));
      } catch (error) {
        lost += batch.length;
        logger.warn('trace spans could not be sent', { spans: lost, error });
        lost = 0;
        return;
      }
    }
  }
  function flush(): void {
    timer?.cancel();
    timer = undefined;
    sending ??= send().finally(() => (sending = undefined));
  }

  return {
    add(span) {
      if (waiting.length >= MAX_WAITING) {
        lost++;
        return;
      }
      waiting.push(span);
      if (waiting.length >= BATCH) flush();
      else timer ??= clock.after(FLUSH_MS, flush, { background: true });
    },
    async close() {
      timer?.cancel();
      await sending;
      await send();
      client.close();
    },
  };
}
