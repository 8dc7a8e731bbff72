// The field types of requests, with their limits.

import { isIPv6 } from 'node:net';
import { z } from 'zod';

const MAX_METADATA_DEPTH = 16;
const MAX_METADATA_BYTES = 64 * 1024;
const EMAIL = /^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$/;
const URL_CHARACTERS = /^[A-Za-z0-9\-._~:/?[\]@!$&'()*+,;=%]+$/;
const AUTHORITY = /^wss?:\/\/(\[[^\]]*\]|[^/?:@[\]]*)(?::(\d{1,5}))?(?:[/?]|$)/;
const HOST = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/;

/** @param {string} text */
const isStorable = (text) => !text.includes('\0') && text.isWellFormed();

/** @param {string} url */
function isWebSocketUrl(url) {
  if (!URL_CHARACTERS.test(url)) return false;
  const [, host, port] = AUTHORITY.exec(url) ?? [];
  if (host === undefined || (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))) return false;
  if (host.startsWith('[')) return isIPv6(host.slice(1, -1));
  return host.length <= 253 && HOST.test(host);
}

/**
 * @param {unknown} value
 * @param {number} depth
 * @returns {boolean}
 */
function isBearable(value, depth = 1) {
  if (typeof value === 'string') return isStorable(value);
  if (typeof value === 'number') return Math.abs(value) < 2 ** 63;
  if (value === null || typeof value !== 'object') return true;
  if (depth > MAX_METADATA_DEPTH) return false;
  if (Array.isArray(value)) return value.every((item) => isBearable(item, depth + 1));
  return Object.entries(value).every(([key, item]) => isStorable(key) && isBearable(item, depth + 1));
}

/** @param {number} longest */
const text = (longest) =>
  z.string().min(1).max(longest)
    .refine((value) => value.trim() !== '' && isStorable(value), 'must be a text that is not blank');

export const name = text(200);
export const shortText = text(100);
export const email = z.string().min(3).max(320).regex(EMAIL, 'must be an email address, without spaces');
export const webSocketUrl = z.string().min(1).max(2000).refine(isWebSocketUrl, 'must be a WebSocket URL');
export const password = z.string().min(1).max(1024).refine(isStorable, 'must not contain a NUL character');
export const metadata = z.record(z.string(), z.unknown())
  .refine((value) => isBearable(value), 'must be a JSON object of bearable depth and numbers')
  .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= MAX_METADATA_BYTES, 'must be at most 64 KiB');
