/** The DNS message format (RFC 1035, EDNS0 of RFC 6891): reading questions, writing answers with name compression. */

export const TYPE = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, OPT: 41, ANY: 255 } as const;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

export interface Query {
  id: number;
  opcode: number;
  recursionDesired: boolean;
  /** Lower case, without the last dot. */
  name: string;
  type: number;
  class: number;
  /** The question as it stood in the query, for the answer (its letters' case is kept). */
  question: Buffer;
  /** Bytes the client takes over UDP; 512 without EDNS. */
  udpSize: number;
  edns: boolean;
}

/** Names are lower case, absolute, without the last dot. */
export type ResourceRecord =
  | { type: typeof TYPE.A | typeof TYPE.AAAA; name: string; ttl: number; address: string }
  | { type: typeof TYPE.CNAME | typeof TYPE.PTR; name: string; ttl: number; target: string }
  | { type: typeof TYPE.SRV; name: string; ttl: number; priority: number; weight: number; port: number; target: string }
  | { type: typeof TYPE.TXT; name: string; ttl: number; text: string }
  | {
      type: typeof TYPE.SOA;
      name: string;
      ttl: number;
      primary: string;
      mailbox: string;
      serial: number;
      minimum: number;
    };

export interface Answer {
  rcode: number;
  authoritative: boolean;
  answers: readonly ResourceRecord[];
  authority?: readonly ResourceRecord[];
  additional?: readonly ResourceRecord[];
}

const HEADER = 12;

/** Reads a query; undefined when it is too broken to be answered. */
export function parseQuery(message: Buffer): Query | undefined {
  if (message.length < HEADER + 5 || message[2]! & 0x80) return undefined;
  if (message.readUInt16BE(4) !== 1) return undefined;
  let at = HEADER;
  const labels: string[] = [];
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return undefined; // questions hold no pointers
    at++;
    if (length === 0) break;
    if (at + length > message.length || at - HEADER > 254) return undefined;
    labels.push(message.toString('latin1', at, at + length));
    at += length;
  }
  if (at + 4 > message.length) return undefined;
  const query: Query = {
    id: message.readUInt16BE(0),
    opcode: (message[2]! >> 3) & 15,
    recursionDesired: (message[2]! & 1) === 1,
    name: labels.join('.').toLowerCase(),
    type: message.readUInt16BE(at),
    class: message.readUInt16BE(at + 2),
    question: message.subarray(HEADER, at + 4),
    udpSize: 512,
    edns: false,
  };
  at += 4;
  // an OPT record with the root as its name is the only additional that matters
  if (
    message.readUInt16BE(10) > 0 &&
    message[at] === 0 &&
    at + 11 <= message.length &&
    message.readUInt16BE(at + 1) === TYPE.OPT
  ) {
    query.edns = true;
    query.udpSize = Math.max(512, message.readUInt16BE(at + 3));
  }
  return query;
}

class Writer {
  buffer = Buffer.allocUnsafe(1024);
  length = 0;
  readonly #names = new Map<string, number>();

  #grow(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const bigger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + more));
    this.buffer.copy(bigger, 0, 0, this.length);
    this.buffer = bigger;
  }
  u8(v: number): void {
    this.#grow(1);
    this.buffer[this.length++] = v;
  }
  u16(v: number): void {
    this.#grow(2);
    this.length = this.buffer.writeUInt16BE(v, this.length);
  }
  u32(v: number): void {
    this.#grow(4);
    this.length = this.buffer.writeUInt32BE(v, this.length);
  }
  bytes(b: Buffer): void {
    this.#grow(b.length);
    this.length += b.copy(this.buffer, this.length);
  }
  /** Remembers where a name stands, so that later ones may point to it. */
  know(name: string, at: number): void {
    for (let rest = name, offset = at; rest !== '' && offset < 0x4000;) {
      if (!this.#names.has(rest)) this.#names.set(rest, offset);
      const dot = rest.indexOf('.');
      if (dot < 0) break;
      offset += dot + 1;
      rest = rest.slice(dot + 1);
    }
  }
  name(name: string): void {
    let rest = name;
    while (rest !== '') {
      const known = this.#names.get(rest);
      if (known !== undefined) return this.u16(0xc000 | known);
      if (this.length < 0x4000) this.#names.set(rest, this.length);
      const dot = rest.indexOf('.');
      const label = dot < 0 ? rest : rest.slice(0, dot);
      this.u8(label.length);
      this.bytes(Buffer.from(label, 'latin1'));
      rest = dot < 0 ? '' : rest.slice(dot + 1);
    }
    this.u8(0);
  }
}

function ipv6Bytes(address: string): Buffer {
  const [head = '', tail] = address.split('::');
  const groups = (s: string) => (s === '' ? [] : s.split(':').map((g) => parseInt(g, 16)));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = tail === undefined ? left : [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  const out = Buffer.alloc(16);
  all.forEach((g, i) => out.writeUInt16BE(g, i * 2));
  return out;
}

function writeRecord(w: Writer, r: ResourceRecord): void {
  w.name(r.name);
  w.u16(r.type);
  w.u16(1);
  w.u32(r.ttl);
  const lengthAt = w.length;
  w.u16(0);
  switch (r.type) {
    case TYPE.A:
    case TYPE.AAAA:
      w.bytes(r.address.includes(':') ? ipv6Bytes(r.address) : Buffer.from(r.address.split('.').map(Number)));
      break;
    case TYPE.CNAME:
    case TYPE.PTR:
      w.name(r.target);
      break;
    case TYPE.SRV: {
      w.u16(r.priority);
      w.u16(r.weight);
      w.u16(r.port);
      w.name(r.target);
      break;
    }
    case TYPE.TXT:
      w.u8(Buffer.byteLength(r.text));
      w.bytes(Buffer.from(r.text));
      break;
    case TYPE.SOA:
      w.name(r.primary);
      w.name(r.mailbox);
      for (const v of [r.serial, 7200, 1800, 86_400, r.minimum]) w.u32(v);
      break;
  }
  w.buffer.writeUInt16BE(w.length - lengthAt - 2, lengthAt);
}

/** Writes the answer to a query; what doesn't fit into `maxSize` is left out and the truncation bit set. */
export function writeAnswer(query: Query, answer: Answer, maxSize: number): Buffer {
  const w = new Writer();
  w.u16(query.id);
  w.u16(
    0x8000 |
      (query.opcode << 11) |
      (answer.authoritative ? 0x400 : 0) |
      (query.recursionDesired ? 0x100 : 0) |
      0x80 |
      answer.rcode,
  );
  w.u16(1);
  for (let i = 0; i < 3; i++) w.u16(0);
  w.bytes(query.question);
  w.know(query.name, HEADER);
  const reserve = query.edns ? 11 : 0;
  let truncated = false;
  const section = (records: readonly ResourceRecord[] | undefined, countAt: number, needed: boolean) => {
    let count = 0;
    for (const r of records ?? []) {
      const before = w.length;
      writeRecord(w, r);
      if (w.length + reserve > maxSize) {
        w.length = before;
        if (needed) truncated = true;
        break;
      }
      count++;
    }
    w.buffer.writeUInt16BE(count, countAt);
  };
  section(answer.answers, 6, true);
  if (!truncated) section(answer.authority, 8, false);
  if (!truncated) section(answer.additional, 10, false);
  if (truncated) w.buffer[2]! |= 2;
  if (query.edns) {
    w.u8(0);
    w.u16(TYPE.OPT);
    w.u16(1232);
    w.u32(0);
    w.u16(0);
    w.buffer.writeUInt16BE(w.buffer.readUInt16BE(10) + 1, 10);
  }
  return Buffer.from(w.buffer.subarray(0, w.length));
}

/** The end of a name in a message; undefined when the message is cut short. */
function afterName(message: Buffer, at: number): number | undefined {
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1;
  }
}

/** Calls `each` for every record behind the questions; false when the message is broken. */
function records(
  message: Buffer,
  each: (at: { type: number; ttl: number; data: number; end: number }) => void,
): boolean {
  let at: number | undefined = HEADER;
  for (let i = message.readUInt16BE(4); i > 0; i--) {
    at = afterName(message, at);
    if (at === undefined) return false;
    at += 4;
  }
  for (let i = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10); i > 0; i--) {
    at = afterName(message, at);
    if (at === undefined || at + 10 > message.length) return false;
    const end: number = at + 10 + message.readUInt16BE(at + 8);
    if (end > message.length) return false;
    each({ type: message.readUInt16BE(at), ttl: at + 4, data: at + 10, end });
    at = end;
  }
  return true;
}

/** Where the times to live stand in a message (that of OPT is none); undefined when it is broken. */
export function ttlOffsets(message: Buffer): number[] | undefined {
  const out: number[] = [];
  return records(message, (r) => r.type !== TYPE.OPT && out.push(r.ttl)) ? out : undefined;
}

/** Seconds that "there is no such thing" lasts: what the SOA says (RFC 2308); undefined without one. */
export function negativeTtl(message: Buffer): number | undefined {
  let seconds: number | undefined;
  records(message, (r) => {
    if (r.type === TYPE.SOA && r.end - r.data >= 20)
      seconds = Math.min(message.readUInt32BE(r.ttl), message.readUInt32BE(r.end - 4));
  });
  return seconds;
}
