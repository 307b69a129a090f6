/** Small HTTPS servers on loopback that play identity providers and webhooks, and tokens signed for them. */
import { constants, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Flags, parseFlags } from '../../../apiserver/flags.ts';
import type { Authentication } from '../../../apiserver/authentication/authentication.ts';
import type { Authorization } from '../../../apiserver/authorization/authorization.ts';
import { accessFromFlags } from '../../../apiserver/startup/access-options.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createAuthority, issue } from '../../../base/pki.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const validity = { notBefore: Date.now() - 86_400_000, notAfter: Date.now() + 86_400_000 };
export const loopbackCa = createAuthority({ commonName: 'loopback-ca', ...validity });
const identity = issue(loopbackCa, {
  subject: { commonName: 'loopback' },
  altNames: { ip: ['127.0.0.1'] },
  extendedUsages: ['server auth'],
  ...validity,
});

export interface Call {
  path: string;
  authorization: string | undefined;
  // What the other side sent, parsed.
  body: { kind?: string; apiVersion?: string; spec?: Record<string, unknown> } | undefined;
}
type Answer = { code?: number; body: unknown };

export interface Loopback {
  url: string;
  calls: Call[];
  answer: (call: Call) => Answer;
  stop(): Promise<void>;
}

export async function startLoopback(answer: (call: Call) => Answer): Promise<Loopback> {
  const server = createServer(identity, (req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (c: Buffer) => chunks.push(c));
    req.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const call: Call = {
        path: req.url!,
        authorization: req.headers.authorization,
        body: text === '' ? undefined : (JSON.parse(text) as Call['body']),
      };
      out.calls.push(call);
      const { code = 200, body } = out.answer(call);
      res.writeHead(code, { 'content-type': 'application/json' });
      res.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const out: Loopback = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: [],
    answer,
    stop() {
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
  return out;
}

/** A kubeconfig for a webhook at this URL. */
export const kubeconfig = (url: string, token = 'hook-secret') =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'c',
        cluster: { server: url, 'certificate-authority-data': Buffer.from(loopbackCa.cert).toString('base64') },
      },
    ],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });

export interface SigningKey {
  kid: string;
  alg: string;
  key: KeyObject;
  jwk: object;
}
export function signingKey(alg: string, kid: string): SigningKey {
  const curves: Record<string, string> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
  const pair = alg.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: curves[alg]! })
    : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { kid, alg, key: pair.privateKey, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig' } };
}
const base64 = (v: unknown) => Buffer.from(JSON.stringify(v)).toString('base64url');
export function signToken(claims: object, { alg, kid, key }: SigningKey): string {
  const input = `${base64({ alg, kid, typ: 'JWT' })}.${base64(claims)}`;
  const pss = alg.startsWith('PS')
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  const signature = sign(`sha${alg.slice(2)}`, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363', ...pss });
  return `${input}.${signature.toString('base64url')}`;
}

/** An API server whose access is set up by flags and files, as a real one has it. */
export interface ConfiguredServer {
  server: TestServer;
  file(name: string): string;
  write(name: string, text: string): void;
  /** Looks at the configuration files now. */
  reload(): void;
  stop(): Promise<void>;
}
/** `files` are written first; `@NAME` in a flag is the path of one. */
export async function startConfigured(
  flags: readonly string[],
  files: (path: (name: string) => string) => Readonly<Record<string, string>>,
  enableAdmission: readonly string[] = [],
): Promise<ConfiguredServer> {
  const dir = mkdtempSync(join(tmpdir(), 'access-'));
  const path = (name: string) => join(dir, name);
  const write = (name: string, text: string) => writeFileSync(path(name), text);
  for (const [name, text] of Object.entries(files(path))) write(name, text);
  const parsed = new Flags(
    parseFlags(flags.map((f) => f.replace(/=@(.*)$/, (_all, name: string) => `=${path(name)}`))),
  );
  const access = accessFromFlags(parsed, (p) => readFileSync(p));
  let authentication: Authentication;
  let authorization: Authorization;
  const server = await startTestServer({
    securityOptions: {
      ...access.security,
      admissionSettings: access.admission,
      enableAdmission,
      onAuthentication: (a) => (authentication = a),
      onAuthorization: (a) => (authorization = a),
    },
  });
  const followed = access.follow({
    clock: systemClock,
    logger: silentLogger,
    authentication: authentication!,
    authorization: authorization!,
  });
  return {
    server,
    file: path,
    write,
    reload: () => followed.check(),
    async stop() {
      followed.close();
      await server.stop();
      rmSync(dir, { recursive: true });
    },
  };
}
