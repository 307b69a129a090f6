/** The parts that frames of HTTP/2 are made of (RFC 9113, sections 4 and 6). */

/** Codes of errors that are used here. */
export const ERROR = {
  none: 0,
  protocol: 1,
  flowControl: 3,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
} as const;

export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;
export const SETTING = { enablePush: 2, maxStreams: 3, initialWindow: 4, maxFrame: 5 } as const;

/** The length of a frame's head. */
export const HEAD = 9;
/** The longest payload that we take; it is what peers send when nothing else is agreed. */
export const MAX_FRAME = 16_384;

/** A peer that breaks the rules. */
export class Violation extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** 32 bits. */
export function number(value: number): Buffer {
  const out = Buffer.allocUnsafe(4);
  out.writeUInt32BE(value);
  return out;
}

/** The payload without its padding. */
export function unpadded(flags: number, payload: Buffer): Buffer {
  if (!(flags & FLAG.padded)) return payload;
  const padding = payload[0] ?? 0;
  if (padding >= payload.length) throw new Violation(ERROR.protocol, 'a frame is nothing but padding');
  return payload.subarray(1, payload.length - padding);
}
