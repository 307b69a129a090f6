/** XSalsa20-Poly1305 as NaCl's secretbox has it: node:crypto has neither part. */
import { timingSafeEqual } from 'node:crypto';

const SIGMA = new Uint32Array([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
/** Bytes of the authentication tag that precedes the ciphertext. */
const TAG = 16;

/** Byte positions 0..15 of one double round: four columns, then four rows. */
const QUARTERS = [
  [0, 4, 8, 12],
  [5, 9, 13, 1],
  [10, 14, 2, 6],
  [15, 3, 7, 11],
  [0, 1, 2, 3],
  [5, 6, 7, 4],
  [10, 11, 8, 9],
  [15, 12, 13, 14],
].flat();

const rotl = (v: number, n: number) => (v << n) | (v >>> (32 - n));

/** Twenty rounds in place. */
function rounds(x: Uint32Array): void {
  for (let i = 0; i < 10; i++)
    for (let q = 0; q < 32; q += 4) {
      const a = QUARTERS[q]!;
      const b = QUARTERS[q + 1]!;
      const c = QUARTERS[q + 2]!;
      const d = QUARTERS[q + 3]!;
      x[b]! ^= rotl((x[a]! + x[d]!) | 0, 7);
      x[c]! ^= rotl((x[b]! + x[a]!) | 0, 9);
      x[d]! ^= rotl((x[c]! + x[b]!) | 0, 13);
      x[a]! ^= rotl((x[d]! + x[c]!) | 0, 18);
    }
}

const words = (b: Uint8Array): number[] => {
  const v = new DataView(b.buffer, b.byteOffset, b.byteLength);
  return Array.from({ length: b.byteLength >> 2 }, (_, i) => v.getUint32(i * 4, true));
};

function state(key: readonly number[], input: readonly number[]): Uint32Array {
  const [s0, s1, s2, s3] = SIGMA as unknown as [number, number, number, number];
  return Uint32Array.of(s0, ...key.slice(0, 4), s1, ...input, s2, ...key.slice(4), s3);
}

/** The key that a 24-byte nonce's first 16 bytes make of a key. */
function hsalsa(key: readonly number[], nonce: readonly number[]): number[] {
  const x = state(key, nonce);
  rounds(x);
  return [0, 5, 10, 15, 6, 7, 8, 9].map((i) => x[i]!);
}

/** The first `length` bytes of the key stream. */
function keyStream(key: Buffer, nonce: Buffer, length: number): Buffer {
  const n = words(nonce);
  const start = state(hsalsa(words(key), n.slice(0, 4)), [n[4]!, n[5]!, 0, 0]);
  const out = Buffer.allocUnsafe(Math.ceil(length / 64) * 64);
  const x = new Uint32Array(16);
  for (let at = 0, block = 0; at < out.length; at += 64, block++) {
    start[8] = block;
    x.set(start);
    rounds(x);
    for (let i = 0; i < 16; i++) out.writeUInt32LE((x[i]! + start[i]!) >>> 0, at + i * 4);
  }
  return out;
}

/** Limbs of 13 bits: sums of their products stay exact. */
const LIMBS = 10;
const BITS = 13;
const MASK = (1 << BITS) - 1;

/** Little-endian bytes (17 at most) as limbs. */
function limbs(bytes: Uint8Array, into: number[]): void {
  let value = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < LIMBS; i++) {
    while (bits < BITS && at < bytes.length) {
      value |= bytes[at++]! << bits;
      bits += 8;
    }
    into[i] = value & MASK;
    value >>>= BITS;
    bits -= BITS;
  }
}

function carry(h: number[]): void {
  let c = 0;
  for (let i = 0; i < LIMBS; i++) {
    const v = h[i]! + c;
    c = Math.floor(v / (MASK + 1));
    h[i] = v - c * (MASK + 1);
  }
  h[0]! += c * 5;
}

/** Poly1305 with a 32-byte one-time key. */
function poly1305(key: Buffer, message: Buffer): Buffer {
  const clamped = Buffer.from(key.subarray(0, 16));
  for (const i of [3, 7, 11, 15]) clamped[i]! &= 15;
  for (const i of [4, 8, 12]) clamped[i]! &= 252;
  const r: number[] = [];
  limbs(clamped, r);
  let h: number[] = Array.from({ length: LIMBS }, () => 0);
  let product: number[] = Array.from({ length: LIMBS }, () => 0);
  const block = new Uint8Array(17);
  const m: number[] = [];
  for (let at = 0; at < message.length; at += 16) {
    const n = Math.min(16, message.length - at);
    block.fill(0);
    block.set(message.subarray(at, at + n));
    block[n] = 1;
    limbs(block, m);
    for (let i = 0; i < LIMBS; i++) h[i]! += m[i]!;
    for (let i = 0; i < LIMBS; i++) {
      let sum = 0;
      for (let j = 0; j <= i; j++) sum += h[j]! * r[i - j]!;
      let over = 0;
      for (let j = i + 1; j < LIMBS; j++) over += h[j]! * r[i + LIMBS - j]!;
      product[i] = sum + over * 5;
    }
    [h, product] = [product, h];
    carry(h);
    carry(h);
  }
  let sum = 0n;
  carry(h);
  for (let i = LIMBS; i-- > 0;) sum = (sum << BigInt(BITS)) + BigInt(h[i]!);
  sum %= (1n << 130n) - 5n;
  sum += BigInt('0x' + Buffer.from(key.subarray(16, 32)).reverse().toString('hex'));
  const out = Buffer.alloc(TAG);
  out.writeBigUInt64LE(sum & 0xffffffffffffffffn, 0);
  out.writeBigUInt64LE((sum >> 64n) & 0xffffffffffffffffn, 8);
  return out;
}

function xor(a: Buffer, stream: Buffer): Buffer {
  const out = Buffer.allocUnsafe(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i]! ^ stream[i]!;
  return out;
}

/** Tag and ciphertext of `message`; the key has 32 bytes, the nonce 24 and is used once. */
export function seal(key: Buffer, nonce: Buffer, message: Buffer): Buffer {
  const stream = keyStream(key, nonce, 32 + message.length);
  const ciphertext = xor(message, stream.subarray(32));
  return Buffer.concat([poly1305(stream.subarray(0, 32), ciphertext), ciphertext]);
}

/** What `seal` was given; undefined when the box was made with another key or was changed. */
export function open(key: Buffer, nonce: Buffer, box: Buffer): Buffer | undefined {
  if (box.length < TAG) return undefined;
  const ciphertext = box.subarray(TAG);
  const stream = keyStream(key, nonce, 32 + ciphertext.length);
  if (!timingSafeEqual(poly1305(stream.subarray(0, 32), ciphertext), box.subarray(0, TAG))) return undefined;
  return xor(ciphertext, stream.subarray(32));
}
