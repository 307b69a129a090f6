import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { systemClock } from '../../../base/clock.ts';
import { CODE } from '../../../base/grpc.ts';
import { serve } from '../../../kubelet/grpc-server.ts';
import { connect, defineService } from '../../../kubelet/grpc.ts';

const MESSAGE = { fields: { text: { type: 'string', id: 1 }, times: { type: 'int32', id: 2 } } };
const ECHO = {
  nested: {
    t: {
      nested: {
        Message: MESSAGE,
        Echo: {
          methods: {
            Say: { requestType: 'Message', responseType: 'Message' },
            Absent: { requestType: 'Message', responseType: 'Message' },
            Repeat: { requestType: 'Message', responseType: 'Message', responseStream: true },
          },
        },
      },
    },
  },
};
interface Message {
  text: string;
  times: number;
}
type Done = (error: grpc.ServiceError | null, answer?: Message) => void;
type EchoClient = grpc.Client & {
  Say(request: object, done: Done): void;
  Absent(request: object, done: Done): void;
  Repeat(request: object): grpc.ClientReadableStream<Message>;
};

describe('gRPC of the kubelet', function () {
  this.timeout(60_000);
  const service = defineService(ECHO, 't.Echo');
  let dir: string;
  let socket: string;
  let server: { stop(): void };
  let gone = 0;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'k8ts-grpc-'));
    socket = join(dir, 's.sock');
    server = await serve(socket, [
      [
        service,
        {
          Say({ text }: Message) {
            if (text === '') throw Object.assign(new Error('nothing to säy, 100%'), { code: CODE.notFound });
            return { text };
          },
        },
        {
          Repeat({ text, times }: Message, send) {
            for (let i = 0; i < times; i++) send({ text });
            return () => void gone++;
          },
        },
      ],
    ]);
  });
  after(() => {
    server.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const library = () => {
    const definition = fromJSON(ECHO as Parameters<typeof fromJSON>[0])['t.Echo'] as grpc.ServiceDefinition;
    const Client = grpc.makeGenericClientConstructor(definition, 't.Echo');
    return new Client(`unix://${socket}`, grpc.credentials.createInsecure()) as unknown as EchoClient;
  };
  const asked = (f: (done: Done) => void) =>
    new Promise<Message>((resolve, reject) => f((e, answer) => (e ? reject(e) : resolve(answer!))));

  it('is understood by another client: answers, errors, streams and their end', async () => {
    const client = library();
    const long = 'x'.repeat(3_000_000);
    assert.equal((await asked((done) => client.Say({ text: long }, done))).text, long);
    await assert.rejects(
      asked((done) => client.Say({}, done)),
      { code: CODE.notFound, details: 'nothing to säy, 100%' },
    );
    await assert.rejects(
      asked((done) => client.Absent({}, done)),
      { code: CODE.unimplemented },
    );
    const seen: string[] = [];
    await new Promise<void>((resolve) => {
      const stream = client.Repeat({ text: 'a', times: 3 });
      stream.on('error', () => resolve());
      stream.on('data', (m: Message) => {
        seen.push(m.text);
        if (seen.length === 3) stream.cancel();
      });
    });
    assert.deepEqual(seen, ['a', 'a', 'a']);
    for (const limit = systemClock.monotonic() + 30_000; gone === 0 && systemClock.monotonic() < limit;)
      await systemClock.sleep(10);
    assert.equal(gone, 1);
    client.close();
  });

  it('is understood by our client, which says when a message is too long and when nobody is there', async () => {
    const client = connect(service, socket, systemClock);
    assert.deepEqual(await client.call('Say', { text: 'hello' }, 30_000), { text: 'hello', times: 0 });
    await assert.rejects(client.call('Say', {}, 30_000), { code: CODE.notFound, details: 'nothing to säy, 100%' });
    await assert.rejects(client.call('Say', { text: 'x'.repeat((16 << 20) + 1) }, 30_000), {
      code: CODE.resourceExhausted,
    });
    client.close();
    const nobody = connect(service, join(dir, 'none.sock'), systemClock);
    await assert.rejects(nobody.call('Say', { text: 'hello' }, 30_000), { code: CODE.unavailable });
    nobody.close();
  });
});
