/** AES in the two modes that values at rest come in. */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, type CipherGCMTypes } from 'node:crypto';

const GCM_NONCE = 12;
const GCM_TAG = 16;
const IV = 16;
/** Bytes that stand before a value whose key is derived from a seed. */
const INFO = 32;

const gcm = (key: Buffer) => `aes-${key.length * 8}-gcm` as CipherGCMTypes;

/** Nonce, ciphertext and tag; `aad` must be the same when it is opened. */
export function sealGcm(key: Buffer, plain: Buffer, aad: Buffer): Buffer {
  const nonce = randomBytes(GCM_NONCE);
  const cipher = createCipheriv(gcm(key), key, nonce);
  cipher.setAAD(aad);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Throws when the key is another one, or when the value or its key was changed. */
export function openGcm(key: Buffer, data: Buffer, aad: Buffer): Buffer {
  if (data.length < GCM_NONCE + GCM_TAG) throw new Error('the stored data was shorter than the required size');
  const decipher = createDecipheriv(gcm(key), key, data.subarray(0, GCM_NONCE), { authTagLength: GCM_TAG });
  decipher.setAAD(aad);
  decipher.setAuthTag(data.subarray(-GCM_TAG));
  return Buffer.concat([decipher.update(data.subarray(GCM_NONCE, -GCM_TAG)), decipher.final()]);
}

/** Initialization vector and ciphertext, padded as PKCS #7 says. Nothing authenticates it. */
export function sealCbc(key: Buffer, plain: Buffer): Buffer {
  const iv = randomBytes(IV);
  const cipher = createCipheriv(`aes-${key.length * 8}-cbc`, key, iv);
  return Buffer.concat([iv, cipher.update(plain), cipher.final()]);
}

/** Throws when the padding shows that the key is another one. */
export function openCbc(key: Buffer, data: Buffer): Buffer {
  if (data.length < 2 * IV || data.length % IV !== 0) throw new Error('the stored data is no whole number of blocks');
  const decipher = createDecipheriv(`aes-${key.length * 8}-cbc`, key, data.subarray(0, IV));
  return Buffer.concat([decipher.update(data.subarray(IV)), decipher.final()]);
}

/** The first 32 bytes of HKDF-Expand (RFC 5869) over SHA-256. */
const derive = (seed: Buffer, info: Buffer) => createHmac('sha256', seed).update(info).update(Buffer.of(1)).digest();

/** As sealGcm, under a key of its own for each value, derived from a seed. */
export function sealSeeded(seed: Buffer, plain: Buffer, aad: Buffer): Buffer {
  const info = randomBytes(INFO);
  return Buffer.concat([info, sealGcm(derive(seed, info), plain, aad)]);
}

/** The other way round. */
export function openSeeded(seed: Buffer, data: Buffer, aad: Buffer): Buffer {
  if (data.length < INFO) throw new Error('the stored data was shorter than the required size');
  return openGcm(derive(seed, data.subarray(0, INFO)), data.subarray(INFO), aad);
}
