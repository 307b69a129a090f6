/** Answers to HTTP/1.1 requests that Node's parser refuses: they reach no handler. */
import type { Socket } from 'node:net';
import { methodRefused } from './paths.ts';

/** The request line of a method that HTTP allows and Node doesn't know. */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ \/[^ ]* HTTP\/1\.[01]\r?\n/;
/** Longer ones aren't looked for. */
const MAX_LINE = 8192;

const REASONS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** Ends the connection with the answer to what could not be read; `rawPacket` is what the parser was given last. */
export function answerUnreadable(error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket: Socket): void {
  // An answer that has begun can't be taken back; Node keeps it here.
  const { _httpMessage: begunAnswer } = socket as { _httpMessage?: { headersSent: boolean } | null };
  // Handshakes fail here too, and broken connections.
  const isHttp = /^(HPE|ERR_HTTP)_/.test(error.code ?? '');
  if (!isHttp || !socket.writable || begunAnswer?.headersSent) return void socket.destroy();
  const begun = error.rawPacket?.subarray(0, MAX_LINE).toString('latin1') ?? '';
  const unknownMethod = error.code === 'HPE_INVALID_METHOD' && REQUEST_LINE.test(begun);
  const body = unknownMethod ? `${JSON.stringify(methodRefused().status)}\n` : '';
  const reason = unknownMethod ? '405 Method Not Allowed' : (REASONS[error.code ?? ''] ?? '400 Bad Request');
  const type = unknownMethod ? 'Content-Type: application/json\r\n' : '';
  socket.write(
    `HTTP/1.1 ${reason}\r\n${type}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  // Whether the client stops sending or not.
  socket.destroySoon();
}
