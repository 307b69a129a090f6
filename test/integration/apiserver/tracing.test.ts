/** Traces, as a collector gets them. */
import assert from 'node:assert/strict';
import * as grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { systemClock, systemIds, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { readTracingConfig } from '../../../apiserver/tracing/config.ts';
import { createOtlpExporter, type SpanExporter } from '../../../apiserver/tracing/otlp.ts';
import { createTracer } from '../../../apiserver/tracing/tracer.ts';
import { ask } from './http.ts';
import { startTestServer, type TestServer } from './harness.ts';

const PROTO = `
syntax = "proto3";
message Request { repeated ResourceSpans resource_spans = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeSpans { repeated Span spans = 2; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
  fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9; Status status = 15;
}
message Status { string message = 2; int32 code = 3; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { string string_value = 1; int64 int_value = 3; }
`;
const METHOD = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: string } }[];
}

describe('tracing', function () {
  const Request = protobuf.parse(PROTO).root.lookupType('Request');
  const spans: Span[] = [];
  let collector: grpc.Server;
  let exporter: SpanExporter;
  let server: TestServer;

  before(async () => {
    collector = new grpc.Server();
    const same = (b: Buffer) => b;
    const definition: grpc.MethodDefinition<Buffer, Buffer> = {
      path: METHOD,
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    collector.addService(
      { export: definition },
      {
        export(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
          const message = Request.toObject(Request.decode(call.request), { bytes: String, longs: String }) as {
            resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
          };
          for (const r of message.resourceSpans) for (const s of r.scopeSpans) spans.push(...s.spans);
          done(null, Buffer.alloc(0));
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) =>
      collector.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, p) =>
        error ? reject(error) : resolve(p),
      ),
    );
    exporter = createOtlpExporter({
      clock: systemClock,
      logger: silentLogger,
      endpoint: `127.0.0.1:${port}`,
      resource: { 'service.name': 'apiserver' },
    });
    const tracer = createTracer({
      clock: systemClock,
      ids: systemIds,
      rand: systemRand,
      exporter,
      samplingRatePerMillion: 0,
    });
    server = await startTestServer({ tracer });
  });
  after(async () => {
    await server.stop();
    collector.forceShutdown();
  });

  it('continues the trace of a trusted client, down to the store', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'traced' } };
    const path = '/api/v1/namespaces/default/configmaps';
    const made = await ask(server, { path, body, headers: { traceparent } });
    assert.equal(made.code, 201, String(made.body));
    // neither without a parent, at a rate of 0, nor from somebody who may not ask for it
    await ask(server, { path: '/version' });
    await ask(server, { path: '/version', identity: server.identity('ann'), headers: { traceparent } });
    await exporter.close();
    assert.equal(spans.length, 2, JSON.stringify(spans));
    const root = spans.find((s) => s.kind === 2)!;
    const child = spans.find((s) => s.kind === 3)!;
    assert.equal(root.name, 'POST /api/v1/namespaces/{:namespace}/configmaps');
    assert.equal(Buffer.from(root.traceId, 'base64').toString('hex'), '0af7651916cd43dd8448eb211c80319c');
    assert.equal(Buffer.from(root.parentSpanId, 'base64').toString('hex'), 'b7ad6b7169203331');
    assert.equal(child.traceId, root.traceId);
    assert.equal(child.parentSpanId, root.spanId);
    assert.equal(child.name, 'store create');
    assert.ok(BigInt(root.startTimeUnixNano) <= BigInt(child.startTimeUnixNano));
    assert.ok(BigInt(root.endTimeUnixNano) >= BigInt(child.endTimeUnixNano));
    const code = root.attributes.find((a) => a.key === 'http.response.status_code');
    assert.equal(code?.value.intValue, '201');
  });

  it('reads its configuration', () => {
    const file = (more: string) => `apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n${more}`;
    assert.deepEqual(readTracingConfig(file('')), { endpoint: 'localhost:4317', samplingRatePerMillion: 0 });
    assert.deepEqual(readTracingConfig(file('endpoint: otel:4317\nsamplingRatePerMillion: 100\n')), {
      endpoint: 'otel:4317',
      samplingRatePerMillion: 100,
    });
    assert.throws(() => readTracingConfig(file('samplingRatePerMillion: -1\n')), /between 0 and 1000000/);
  });
});
