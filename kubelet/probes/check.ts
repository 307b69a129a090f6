/** One check of a container: exec, HTTP, TCP or gRPC. */
import type { Clock } from '../../base/clock.ts';
import { CODE, type RpcError } from '../../base/grpc.ts';
import { connect, defineService, openChannel, type GrpcService } from '../grpc.ts';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { Container, DeepReadonly } from '../../api/types.ts';
import type { Runtime } from '../cri/types.ts';
import { errorText } from '../cri/client.ts';

export type ProbeSpec = NonNullable<DeepReadonly<Container>['livenessProbe']>;
type HttpGet = NonNullable<ProbeSpec['httpGet']>;

export interface CheckResult {
  /** `unknown`: the check itself could not be made; it counts for nothing. */
  result: 'success' | 'failure' | 'unknown';
  output: string;
}
export interface CheckTarget {
  containerId: string;
  podIP: string;
  container: DeepReadonly<Container>;
  runtime: Runtime;
}

const MAX_BODY = 10 * 1024;
const USER_AGENT = 'kube-probe/1.36';

/** A port's number, looked up by name among the container's own. */
export function portNumber(port: number | string | object, container: DeepReadonly<Container>): number {
  if (typeof port === 'number') return port;
  const text = String(port as string);
  const named = container.ports?.find((p) => p.name === text)?.containerPort;
  const n = named ?? Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 65535) throw new Error(`couldn't find port: ${text}`);
  return n;
}

const success = (output = ''): CheckResult => ({ result: 'success', output });
const failure = (output: string): CheckResult => ({ result: 'failure', output });

interface HttpAnswer {
  status: number;
  body: string;
  location: string | undefined;
}

/** The answer began well, and then did not come to its end in time. */
class Unfinished extends Error {}

/** `timeoutMs` bounds the whole answer, however often a little of it comes. */
function httpOnce(url: URL, headers: http.OutgoingHttpHeaders, timeoutMs: number, clock: Clock): Promise<HttpAnswer> {
  const late = Promise.withResolvers<never>();
  let begun = false;
  const timer = clock.after(Math.max(timeoutMs, 1), () => {
    const get = `Get ${JSON.stringify(url.href)}: context deadline exceeded (Client.Timeout`;
    late.reject(
      begun
        ? new Unfinished(`${get} or context cancellation while reading body)`)
        : new Error(`${get} exceeded while awaiting headers)`),
    );
    req.destroy();
  });
  let req!: http.ClientRequest;
  const answer = new Promise<HttpAnswer>((resolve, reject) => {
    const secure = url.protocol === 'https:';
    const options = {
      method: 'GET',
      headers,
      agent: false as const,
      ...(secure ? { rejectUnauthorized: false } : {}),
    };
    req = (secure ? https : http).request(url, options, (res) => {
      begun = true;
      const chunks: Buffer[] = [];
      let size = 0;
      const done = () =>
        resolve({
          status: res.statusCode ?? 0,
          body: Buffer.concat(chunks).toString('utf8').slice(0, MAX_BODY),
          location: res.headers.location,
        });
      res.on('data', (c: Buffer) => {
        size += c.length;
        if (size <= MAX_BODY + c.length) chunks.push(c);
        if (size > MAX_BODY) {
          done();
          res.destroy();
        }
      });
      res.on('end', done);
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end();
  });
  return Promise.race([answer, late.promise]).finally(() => timer.cancel());
}

/** GET; redirects are followed on the same host only, all of them within the time. @throws when the body doesn't end in it. */
export async function checkHttp(
  spec: HttpGet,
  target: { podIP: string; container: DeepReadonly<Container> },
  timeoutMs: number,
  clock: Clock,
): Promise<CheckResult> {
  const end = clock.monotonic() + timeoutMs;
  const host = spec.host || target.podIP;
  const scheme = (spec.scheme ?? 'HTTP').toLowerCase();
  let url = new URL(
    `${scheme}://${host.includes(':') ? `[${host}]` : host}:${portNumber(spec.port, target.container)}${(spec.path ?? '/').startsWith('/') ? '' : '/'}${spec.path ?? '/'}`,
  );
  const headers: Record<string, string | string[]> = {};
  for (const h of spec.httpHeaders ?? []) {
    const have = headers[h.name];
    headers[h.name] = have === undefined ? h.value : [...(Array.isArray(have) ? have : [have]), h.value];
  }
  const names = new Set(Object.keys(headers).map((h) => h.toLowerCase()));
  if (!names.has('user-agent')) headers['User-Agent'] = USER_AGENT;
  if (!names.has('accept')) headers['Accept'] = '*/*';
  headers['Connection'] = 'close';
  try {
    const origin = url.hostname;
    for (let hops = 0; hops <= 10; hops++) {
      const answer = await httpOnce(url, headers, end - clock.monotonic(), clock);
      if (answer.status >= 300 && answer.status < 400 && answer.location && answer.status !== 304) {
        const next = new URL(answer.location, url);
        if (next.hostname !== origin) return success(`Probe terminated redirects, Response body: ${answer.body}`);
        url = next;
        continue;
      }
      if (answer.status >= 200 && answer.status < 400) return success(answer.body);
      return failure(`HTTP probe failed with statuscode: ${answer.status}`);
    }
    return failure('stopped after 10 redirects');
  } catch (error) {
    if (error instanceof Unfinished) throw error;
    return failure(
      (error as Error).message.startsWith('Get ')
        ? (error as Error).message
        : `Get ${JSON.stringify(url.href)}: ${goNetError(error as NodeJS.ErrnoException)}`,
    );
  }
}

function goNetError(e: NodeJS.ErrnoException & { address?: string; port?: number }): string {
  if (e.code === 'ECONNREFUSED') return `dial tcp ${e.address}:${e.port}: connect: connection refused`;
  if (e.code === 'EHOSTUNREACH') return `dial tcp ${e.address}:${e.port}: connect: no route to host`;
  if (e.code === 'ECONNRESET') return 'read: connection reset by peer';
  return e.message;
}

/** Success when the port takes a connection. */
export function checkTcp(host: string, port: number, timeoutMs: number): Promise<CheckResult> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, timeout: timeoutMs });
    const end = (r: CheckResult) => {
      socket.destroy();
      resolve(r);
    };
    socket.on('connect', () => end(success()));
    socket.on('timeout', () => end(failure(`dial tcp ${host}:${port}: i/o timeout`)));
    socket.on('error', (e) => end(failure(goNetError(e))));
  });
}

/** The descriptors of grpc.health.v1. */
export const HEALTH = {
  nested: {
    grpc: {
      nested: {
        health: {
          nested: {
            v1: {
              nested: {
                HealthCheckRequest: { fields: { service: { type: 'string', id: 1 } } },
                HealthCheckResponse: {
                  fields: { status: { type: 'ServingStatus', id: 1 } },
                  nested: { ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } } },
                },
                Health: {
                  methods: { Check: { requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse' } },
                },
              },
            },
          },
        },
      },
    },
  },
};

let health: GrpcService | undefined;
async function checkGrpc(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  clock: Clock,
): Promise<CheckResult> {
  health ??= defineService(HEALTH, 'grpc.health.v1.Health');
  const address = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const client = connect(health, openChannel(address, clock, { 'user-agent': USER_AGENT }), clock);
  try {
    const { status } = await client.call<{ status: string }>('Check', { service }, timeoutMs);
    return status === 'SERVING'
      ? success('service healthy')
      : failure(`service unhealthy (responded with ${JSON.stringify(status)})`);
  } catch (error) {
    const { code } = error as RpcError;
    if (code === CODE.unimplemented)
      return failure('error: this server does not implement the grpc health protocol (grpc.health.v1.Health)');
    if (code === CODE.deadlineExceeded) return failure(`timeout: health rpc did not complete within the deadline`);
    return failure(`error: health rpc probe failed: ${errorText(error)}`);
  } finally {
    client.close();
  }
}

async function checkExec(
  target: CheckTarget,
  command: readonly string[],
  timeoutSeconds: number,
): Promise<CheckResult> {
  try {
    const r = await target.runtime.execSync(target.containerId, [...command], timeoutSeconds);
    const output = Buffer.concat([r.stdout, r.stderr]).toString('utf8').slice(0, MAX_BODY);
    return r.exit_code === 0 ? success(output) : failure(output);
  } catch (error) {
    const e = error as { code?: number };
    if (e.code === CODE.deadlineExceeded || /DeadlineExceeded|timeout .* exceeded|timed out/i.test(errorText(error)))
      return failure(`command timed out: ${JSON.stringify(command.join(' '))} timed out after ${timeoutSeconds}s`);
    return { result: 'unknown', output: errorText(error) };
  }
}

/** One check; it is over when its time is. */
export async function check(spec: ProbeSpec, target: CheckTarget, clock: Clock): Promise<CheckResult> {
  const timeout = (spec.timeoutSeconds ?? 1) || 1;
  try {
    if (spec.exec) return await checkExec(target, spec.exec.command ?? [], timeout);
    if (spec.httpGet) return await checkHttp(spec.httpGet, target, timeout * 1000, clock);
    if (spec.tcpSocket)
      return await checkTcp(
        spec.tcpSocket.host || target.podIP,
        portNumber(spec.tcpSocket.port, target.container),
        timeout * 1000,
      );
    if (spec.grpc) return await checkGrpc(target.podIP, spec.grpc.port, spec.grpc.service ?? '', timeout * 1000, clock);
  } catch (error) {
    return { result: 'unknown', output: (error as Error).message };
  }
  return { result: 'unknown', output: 'missing probe handler' };
}
