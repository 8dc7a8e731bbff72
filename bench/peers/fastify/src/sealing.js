// Passwords, sealed as Millgate seals them: AES-256-GCM, bound to their row.
// version (1 byte) | key id (8) | nonce (12) | ciphertext and tag; version, key id and row id are associated data.

import { createCipheriv, createHash, randomBytes } from 'node:crypto';

const VERSION = Buffer.from([1]);
const NONCE_BYTES = 12;

/** @param {string} encryptionKey 32 bytes in base64 */
export function createSealer(encryptionKey) {
  const key = Buffer.from(encryptionKey, 'base64');
  if (key.length !== 32) throw new Error('ENCRYPTION_KEY must be 32 bytes in base64');
  const keyId = createHash('sha256').update('millgate key id\0').update(key).digest().subarray(0, 8);
  const head = Buffer.concat([VERSION, keyId]);

  /**
   * @param {string} password
   * @param {string} rowId a UUID
   */
  return function seal(password, rowId) {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(Buffer.concat([head, Buffer.from(rowId.replaceAll('-', ''), 'hex')]));
    return Buffer.concat([head, nonce, cipher.update(password, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  };
}
