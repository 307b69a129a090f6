/** A KMS v2 plugin on a socket of its own: it "encrypts" by exclusive or with its key's name. */
import * as grpc from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { readFileSync } from 'node:fs';

export interface Plugin {
  readonly endpoint: string;
  keyId: string;
  healthz: string;
  /** Calls by method. */
  readonly calls: Record<string, number>;
  stop(): void;
}

type Handler = (call: { request: Record<string, unknown> }, done: (e: object | null, answer?: object) => void) => void;

function mask(data: Buffer, key: string): Buffer {
  const k = Buffer.from(key);
  return Buffer.from(data.map((b, i) => b ^ k[i % k.length]!));
}

export async function startPlugin(socket: string): Promise<Plugin> {
  const json = JSON.parse(
    readFileSync(new URL('../../../api/facts/grpc-kms-v2.json', import.meta.url), 'utf8'),
  ) as Parameters<typeof fromJSON>[0];
  const loaded = grpc.loadPackageDefinition(fromJSON(json, { keepCase: true, defaults: true })) as unknown as {
    v2: { KeyManagementService: grpc.ServiceClientConstructor };
  };
  const server = new grpc.Server();
  const plugin: Plugin = {
    endpoint: `unix://${socket}`,
    keyId: 'key-1',
    healthz: 'ok',
    calls: { Status: 0, Encrypt: 0, Decrypt: 0 },
    stop: () => server.forceShutdown(),
  };
  const annotations = { 'version.encryption.example': Buffer.from('1') };
  const handlers: Record<string, Handler> = {
    Status(_call, done) {
      plugin.calls['Status']!++;
      done(null, { version: 'v2', healthz: plugin.healthz, key_id: plugin.keyId });
    },
    Encrypt({ request }, done) {
      plugin.calls['Encrypt']!++;
      const ciphertext = mask(request['plaintext'] as Buffer, plugin.keyId);
      done(null, { ciphertext, key_id: plugin.keyId, annotations });
    },
    Decrypt({ request }, done) {
      plugin.calls['Decrypt']!++;
      const sent = request['annotations'] as Record<string, Buffer>;
      if (sent['version.encryption.example']?.toString() !== '1') done({ code: 3, details: 'annotations are gone' });
      else done(null, { plaintext: mask(request['ciphertext'] as Buffer, request['key_id'] as string) });
    },
  };
  server.addService(loaded.v2.KeyManagementService.service, handlers as unknown as grpc.UntypedServiceImplementation);
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(plugin.endpoint, grpc.ServerCredentials.createInsecure(), (e) => (e ? reject(e) : resolve())),
  );
  return plugin;
}
