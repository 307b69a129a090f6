/** What the client's requests go by: a server's sockets, headers as text, answers that come in pieces, errors. */
import https from 'node:https';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { StatusError } from '../api/status.ts';
import type { Status } from '../api/types.ts';
import { createConnections, type Connections } from './connections.ts';
import type { ConnectionOptions } from './kubeconfig.ts';

/** Where requests go, and the sockets they go by. */
export interface Target {
  readonly url: URL;
  readonly transport: typeof http | typeof https;
  readonly plain: Connections;
  /** Watches and other streams have a socket each. */
  readonly watch: http.Agent;
}

/** Opens nothing yet; throws when a certificate or key is of no use. */
export function openTarget(connection: ConnectionOptions, maxSockets: number): Target {
  const url = new URL(connection.server);
  const transport = url.protocol === 'http:' ? http : https;
  const { ca, cert, key } = connection;
  const tls = {
    // Made once: agents otherwise parse the PEM for each socket and make it a part of each request's pool key.
    secureContext: url.protocol === 'https:' ? createSecureContext({ ca, cert, key }) : undefined,
    servername: connection.serverName,
    rejectUnauthorized: !connection.insecureSkipTlsVerify,
  };
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const plain = createConnections({
    host,
    port: Number(url.port || (url.protocol === 'http:' ? 80 : 443)),
    authority: url.host,
    tls: tls.secureContext && { ...tls, servername: tls.servername ?? (isIP(host) ? undefined : host) },
    max: maxSockets,
  });
  return { url, transport, plain, watch: new transport.Agent({ keepAlive: false, ...tls }) };
}

const PATH = /^[\x21-\x7e]+$/;
const VALUE = /^[\t\x20-\x7e]*$/;
/** Whether it can stand in a request's first line as it is. */
export const isPath = (path: string) => PATH.test(path);
/** A header's line; a value must not begin one of its own. */
export function headerLine(name: string, value: string): string {
  if (!VALUE.test(value)) throw new TypeError(`not the value of a header: ${name}`);
  return `${name}: ${value}\r\n`;
}

/** The whole body of an answer. */
export function readAll(res: IncomingMessage): Promise<Buffer> {
  // Events, not an async iterator: that costs a good part of what a small request costs altogether.
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    res.on('data', (chunk: Buffer) => chunks.push(chunk));
    res.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    res.on('error', reject);
  });
}

/** The error that an answer stands for. */
export function parseError(code: number, body: Buffer): StatusError {
  const text = body.toString('utf8');
  try {
    const status = JSON.parse(text) as Status;
    if (status.kind === 'Status') return StatusError.from(status);
  } catch {
    // not JSON: fall through
  }
  // Paths that belong to nobody are answered with a page of text.
  return new StatusError(code, code === 404 ? 'NotFound' : '', text.trim() || `HTTP ${code}`);
}

/** Parts what a stream brings into lines, and parses them. */
export class Lines<T> {
  private rest: Buffer[] = [];
  private readonly each: (value: T) => void;

  constructor(each: (value: T) => void) {
    this.each = each;
  }
  take(chunk: Buffer): void {
    let start = 0;
    for (let nl = chunk.indexOf(10); nl >= 0; nl = chunk.indexOf(10, start)) {
      let text: string;
      if (this.rest.length === 0) text = chunk.toString('utf8', start, nl);
      else {
        this.rest.push(chunk.subarray(start, nl));
        text = Buffer.concat(this.rest).toString('utf8');
        this.rest = [];
      }
      start = nl + 1;
      if (text.length > 1) this.each(JSON.parse(text) as T);
    }
    if (start < chunk.length) this.rest.push(Buffer.from(chunk.subarray(start)));
  }
}
