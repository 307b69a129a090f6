import assert from 'node:assert/strict';
import * as grpc from '@grpc/grpc-js';
import { systemClock } from '../../../base/clock.ts';
import { HEALTH, check, type CheckTarget } from '../../../kubelet/probes/check.ts';
import { fromJSON } from '@grpc/proto-loader';

describe('gRPC probes', () => {
  let server: grpc.Server;
  let port: number;
  before(async () => {
    server = new grpc.Server();
    server.addService(
      fromJSON(HEALTH as Parameters<typeof fromJSON>[0], { enums: String })[
        'grpc.health.v1.Health'
      ] as grpc.ServiceDefinition,
      {
        Check(call: { request: { service: string } }, done: (e: object | null, answer?: object) => void) {
          const { service } = call.request;
          if (service === 'unknown') done({ code: grpc.status.NOT_FOUND, details: 'unknown service' });
          else if (service !== 'slow') done(null, { status: service === 'sick' ? 'NOT_SERVING' : 'SERVING' });
        },
      },
    );
    port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (e, p) => (e ? reject(e) : resolve(p))),
    );
  });
  after(() => server.forceShutdown());
  const ask = (service: string, at = port) =>
    check({ grpc: { port: at, service }, timeoutSeconds: 1 }, { podIP: '127.0.0.1' } as CheckTarget, systemClock);

  it('speak the health protocol', async () => {
    assert.equal((await ask('')).result, 'success');
    assert.deepEqual(await ask('sick'), {
      result: 'failure',
      output: 'service unhealthy (responded with "NOT_SERVING")',
    });
    assert.equal((await ask('unknown')).result, 'failure');
  });
  it('fail when nobody answers in time, or at all', async () => {
    assert.match((await ask('slow')).output, /did not complete within the deadline/);
    assert.equal((await ask('', 1)).result, 'failure');
  });
});
