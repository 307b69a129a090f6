/** Small helpers for answering HTTP requests. */
import type { ServerResponse } from 'node:http';

/** Ends a request with this status; its message is the answer's text. */
export class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function sendText(res: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  const body = Buffer.from(text);
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': body.length, 'X-Content-Type-Options': 'nosniff' });
  res.end(body);
}

export function sendJson(res: ServerResponse, value: unknown): void {
  sendText(res, 200, JSON.stringify(value), 'application/json');
}

/** Writes and waits while the receiver is slow; false when it went away. */
export async function writeSlowly(res: ServerResponse, data: Buffer | string): Promise<boolean> {
  if (res.destroyed || res.writableEnded) return false;
  if (res.write(data)) return true;
  await new Promise<void>((resolve) => {
    const done = () => {
      res.off('drain', done);
      res.off('close', done);
      resolve();
    };
    res.on('drain', done);
    res.on('close', done);
  });
  return !res.destroyed;
}
