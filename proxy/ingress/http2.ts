/**
 * Passes requests on to backends that speak HTTP/2 (gRPC): one connection to each, both directions streaming at once,
 * trailers at the end.
 */
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Clock } from '../../base/clock.ts';
import type { Address } from './backends.ts';
import {
  CONNECT_MS,
  endToEnd,
  fieldsOf,
  hasBody,
  hostHeader,
  requestHeaders,
  sendHead,
  type Request,
  type Response,
} from './head.ts';

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_REFUSED_STREAM } = http2.constants;

const rawOf = (headers: IncomingHttpHeaders): string[] =>
  Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().flatMap((v) => [name, v]),
  );
const withoutHost = new Set(['host']);

/** Over HTTP/2, one session to each backend. */
export function createHttp2Forwarder(clock: Clock) {
  const sessions = new Map<string, Promise<ClientHttp2Session>>();

  /** The connection to a backend; made anew when the last one has ended or is about to. */
  function sessionTo(to: Address): Promise<ClientHttp2Session> {
    const host = to.host.includes(':') ? `[${to.host}]` : to.host;
    const key = `${to.scheme === 'h2' ? 'https' : 'http'}://${host}:${to.port}`;
    const have = sessions.get(key);
    if (have) return have;
    const made = new Promise<ClientHttp2Session>((resolve, reject) => {
      const session = http2.connect(key, { rejectUnauthorized: false });
      const timer = clock.after(CONNECT_MS, () => session.destroy(new Error('connection timed out')));
      const forget = () => void (sessions.get(key) === made && sessions.delete(key));
      session.once('goaway', forget);
      session.once('close', () => {
        timer.cancel();
        forget();
        reject(new Error('connection closed'));
      });
      session.once('connect', () => {
        timer.cancel();
        resolve(session);
      });
      session.on('error', reject); // closes right after
    });
    sessions.set(key, made);
    return made;
  }

  /** The first backend that takes the connection. */
  async function reach(addresses: readonly Address[]): Promise<ClientHttp2Session> {
    let why: unknown = new Error('no backend');
    for (const to of addresses) {
      try {
        return await sessionTo(to);
      } catch (error) {
        why = error;
      }
    }
    throw why;
  }

  /** Resolves with the head of the answer; `ended` when nothing follows it. */
  function headOf(stream: ClientHttp2Stream): Promise<{ headers: IncomingHttpHeaders; ended: boolean }> {
    return new Promise((resolve, reject) => {
      stream.once('response', (headers, flags) => resolve({ headers, ended: (flags & NGHTTP2_FLAG_END_STREAM) !== 0 }));
      stream.once('error', reject);
      stream.once('close', () => reject(new Error(`stream closed with code ${stream.rstCode}`)));
    });
  }

  return {
    async request(req: Request, res: Response, addresses: readonly Address[]): Promise<void> {
      const body = hasBody(req);
      const headers: OutgoingHttpHeaders = {
        ':method': req.method,
        ':path': req.url,
        ':authority': hostHeader(req),
        ...fieldsOf(endToEnd(requestHeaders(req), withoutHost)),
      };
      // the one thing of a connection that an HTTP/2 request may say: gRPC servers ask for it
      if (/\btrailers\b/.test(String(req.headers.te ?? ''))) headers['te'] = 'trailers';
      for (let tries = 0; ; tries++) {
        const stream = (await reach(addresses)).request(headers, { endStream: !body });
        const head = headOf(stream);
        const gone = () => void (stream.closed || stream.close(NGHTTP2_CANCEL));
        res.once('close', gone);
        if (body) req.pipe(stream);
        let answer: Awaited<typeof head>;
        try {
          answer = await head;
        } catch (error) {
          res.off('close', gone);
          // refused before the backend looked at it, as one that is about to end does
          if (!body && tries < 2 && !res.destroyed && stream.rstCode === NGHTTP2_REFUSED_STREAM) continue;
          throw error;
        }
        pass(stream, answer, res);
        return;
      }
    },

    close(): void {
      for (const s of sessions.values())
        s.then(
          (session) => session.destroy(),
          () => {},
        );
    },
  };
}

/** The answer of a backend to the client. */
function pass(
  stream: ClientHttp2Stream,
  { headers, ended }: { headers: IncomingHttpHeaders; ended: boolean },
  res: Response,
): void {
  const code = Number(headers[':status'] ?? 502);
  const raw = endToEnd(rawOf(headers), new Set());
  stream.on('error', () => res.destroy());
  if (ended) {
    // in one frame if the client speaks HTTP/2 too: gRPC takes its status from the head only then
    res.statusCode = code;
    for (const [name, value] of Object.entries(fieldsOf(raw))) res.setHeader(name, value);
    res.end();
    return;
  }
  sendHead(res, code, raw);
  stream.on('trailers', (trailers) => res.addTrailers(fieldsOf(endToEnd(rawOf(trailers), new Set()))));
  stream.on('end', () => res.end());
  stream.once('close', () => {
    // reset by the backend: the client must not take what it got for the whole
    if (!stream.readableEnded) res.destroy();
  });
  stream.pipe(res as NodeJS.WritableStream, { end: false });
}
