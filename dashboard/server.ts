/**
 * The dashboard's server: the page, a sign-in that puts the person's own token into a cookie which scripts can't read,
 * and the API behind the same origin. It has no rights of its own; everything is done as the person who signed in.
 */
import http2 from 'node:http2';
import https from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { HOP_BY_HOP } from '../base/hop-headers.ts';
import type { Logger } from '../base/log.ts';
import { followFiles } from '../base/tls.ts';
import { loadAssets } from './assets.ts';

export interface DashboardOptions {
  /** https://host:port of the API server. */
  apiServer: string;
  /** PEM file of the authority that signed the API server's certificate. */
  caFile: string;
  certFile: string;
  keyFile: string;
  bindAddress: string;
  /** 0 takes a free one. */
  port: number;
  clock: Clock;
  logger: Logger;
}

/** HTTP/2's compatible forms are used alike. */
type Request = IncomingMessage;
type Response = ServerResponse;

/** The `__Host-` prefix makes browsers insist on a secure cookie of this host alone. */
const COOKIE = '__Host-k8ts';
const COOKIE_FLAGS = 'Path=/; Secure; HttpOnly; SameSite=Strict';
/** Non-reading requests must carry it: a form on another page can't. */
const OWN_HEADER = 'x-k8ts-dashboard';
const MAX_TOKEN_BYTES = 3500;
/** What is read of a body that is refused, so that the connection can go on. */
const MAX_DISCARDED_BYTES = 2 ** 20;
const PAGE_HEADERS = {
  'content-security-policy': "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
};
/** Headers of one hop, which aren't handed on. */
const HOP = new Set([...HOP_BY_HOP, 'proxy-connection']);
/** What of a browser's request reaches the API server. */
const FORWARDED = ['accept', 'content-type', 'content-length', 'accept-encoding'] as const;
const API = /^\/(api|apis|version|readyz|livez)(\/|\?|$)/;

/** Serves until stopped; resolves when it listens. @throws when the port or a file can't be had. */
export async function startDashboard(options: DashboardOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const { logger } = options;
  const assets = loadAssets();
  const files = followFiles({
    clock: options.clock,
    log: logger,
    files: [options.certFile, options.keyFile, options.caFile],
  });
  const api = new URL(options.apiServer);
  let agent = new https.Agent({ keepAlive: true, maxSockets: 256, ca: files.contents[2] });

  /** Hands a request on as the person with this token; resolves when the answer is over. */
  function forward(req: Request, res: Response, token: string): void {
    const headers: Record<string, string> = { authorization: `Bearer ${token}`, 'user-agent': 'k8ts-dashboard' };
    for (const name of FORWARDED) {
      const value = req.headers[name];
      if (typeof value === 'string') headers[name] = value;
    }
    const upstream = https.request(
      { host: api.hostname, port: api.port || 443, path: req.url, method: req.method, headers, agent },
      (answer) => {
        const out: Record<string, string | string[]> = {};
        for (const [name, value] of Object.entries(answer.headers))
          if (!HOP.has(name) && value !== undefined) out[name] = value;
        res.writeHead(answer.statusCode ?? 502, out);
        answer.pipe(res);
        answer.on('error', () => res.destroy());
      },
    );
    upstream.on('error', (error) => {
      if (res.headersSent) return void res.destroy();
      logger.warn('the API server could not be asked', { error: error.message });
      json(res, 502, { message: 'The API server does not answer.' });
    });
    res.on('close', () => upstream.destroy());
    req.pipe(upstream);
  }

  async function signIn(req: Request, res: Response): Promise<void> {
    const token = (await body(req, MAX_TOKEN_BYTES * 2)).trim();
    if (!/^[\w.~+/=:-]+$/.test(token) || token.length > MAX_TOKEN_BYTES)
      return json(res, 400, { message: 'That is not a bearer token.' });
    const review = await ask(token);
    if (review.code === 401) return json(res, 401, { message: 'The cluster does not know this token.' });
    if (review.code >= 300) return json(res, 502, { message: `The API server answered with ${review.code}.` });
    res.setHeader('set-cookie', `${COOKIE}=${token}; ${COOKIE_FLAGS}`);
    json(res, 200, { username: review.username });
  }

  /** Who a token stands for, as the API server says. */
  function ask(token: string): Promise<{ code: number; username?: string }> {
    const review = JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' });
    return new Promise((resolve, reject) => {
      const r = https.request(
        {
          host: api.hostname,
          port: api.port || 443,
          path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          agent,
          timeout: 10_000,
        },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          answer.on('error', reject).on('end', () => {
            const user = answer.statusCode === 201 ? (JSON.parse(text) as Review).status?.userInfo : undefined;
            resolve({ code: answer.statusCode ?? 502, username: user?.username });
          });
        },
      );
      r.on('timeout', () => r.destroy(new Error('no answer within 10 s')));
      r.on('error', reject).end(review);
    });
  }

  async function serve(req: Request, res: Response): Promise<void> {
    const path = req.url ?? '/';
    if (path === '/healthz') return text(res, 200, 'ok');
    if (path === '/session') {
      if (req.headers[OWN_HEADER] === undefined) return json(res, 403, { message: 'This is not the dashboard.' });
      if (req.method === 'POST') return signIn(req, res);
      if (req.method !== 'DELETE') return json(res, 405, { message: 'POST or DELETE' });
      res.setHeader('set-cookie', `${COOKIE}=; Max-Age=0; ${COOKIE_FLAGS}`);
      return json(res, 200, {});
    }
    if (API.test(path)) {
      const token = cookie(req);
      if (!token) return json(res, 401, { message: 'Sign in first.' });
      if (req.method !== 'GET' && req.headers[OWN_HEADER] === undefined)
        return json(res, 403, { message: 'This is not the dashboard.' });
      return forward(req, res, token);
    }
    const asset = assets.get(path.split('?')[0]!);
    if (!asset || (req.method !== 'GET' && req.method !== 'HEAD')) return text(res, 404, 'not found');
    res.writeHead(200, { ...PAGE_HEADERS, 'content-type': asset.type, 'content-length': asset.body.length });
    if (req.method === 'HEAD') res.end();
    else res.end(asset.body);
  }

  const server = http2.createSecureServer(
    { cert: files.contents[0], key: files.contents[1], allowHTTP1: true },
    (request, response) => {
      const [req, res] = [request as unknown as Request, response as unknown as Response];
      res.on('error', () => {});
      serve(req, res).catch((error: unknown) => {
        logger.warn('request failed', { path: req.url, error });
        if (!res.headersSent) json(res, 502, { message: 'The API server does not answer.' });
        else res.destroy();
      });
    },
  );
  files.onChange(([cert, key, ca]) => {
    server.setSecureContext({ cert, key });
    agent = new https.Agent({ keepAlive: true, maxSockets: 256, ca });
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (s) => {
    sessions.add(s);
    s.on('close', () => sessions.delete(s)).on('error', () => s.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.bindAddress, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        files.close();
        server.close(() => resolve());
        for (const s of sessions) s.destroy();
        agent.destroy();
      }),
  };
}

interface Review {
  status?: { userInfo?: { username?: string } };
}

function text(res: Response, code: number, message: string): void {
  res.writeHead(code, { 'content-type': 'text/plain; charset=utf-8' });
  res.end(`${message}\n`);
}

function json(res: Response, code: number, value: object): void {
  res.writeHead(code, { 'content-type': 'application/json' });
  res.end(JSON.stringify(value));
}

function cookie(req: Request): string | undefined {
  for (const part of (req.headers.cookie ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2);
    if (name === COOKIE && value) return part.trim().slice(COOKIE.length + 1);
  }
  return undefined;
}

/** The body as text; empty when it is longer than `limit` bytes, of which no more is kept. */
async function body(req: Request, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else if (size > MAX_DISCARDED_BYTES) throw new Error('the body is too long');
  }
  return size > limit ? '' : Buffer.concat(chunks).toString('utf8');
}
