// Requests and responses.

import { z } from 'zod';

import { decodeCursor } from './cursors.js';
import { email, metadata, name, password, shortText, webSocketUrl } from './fields.js';

export const noQuery = z.strictObject({});
export const gatewayParams = z.object({ id: z.guid('must be a UUID') });

/** @param {number} least @param {number} most */
const wholeNumber = (least, most) =>
  z.string().regex(/^\d{1,7}$/, 'must be a whole number').transform(Number).pipe(z.number().min(least).max(most));

export const gatewayListQuery = z.strictObject({
  limit: wholeNumber(1, 100).default(20),
  offset: wholeNumber(0, 1_000_000).optional(),
  factory_id: z.guid().optional(),
  desired_state: z.enum(['connected', 'disconnected']).optional(),
  cursor: z.string().transform(decodeCursor).optional(),
}).refine(({ offset, cursor }) => offset === undefined || cursor === undefined, 'give an offset or a cursor, not both');

export const gatewayCreate = z.strictObject({
  factory_id: z.guid(),
  gateway_id: shortText,
  name,
  url: webSocketUrl,
  email,
  password,
  model: shortText.nullable().default(null),
  firmware_version: shortText.nullable().default(null),
  metadata: metadata.default({}),
});

export const gatewayUpdate = z.strictObject({
  factory_id: z.guid().optional(),
  gateway_id: shortText.optional(),
  name: name.optional(),
  url: webSocketUrl.optional(),
  email: email.optional(),
  password: password.optional(),
  model: shortText.nullable().optional(),
  firmware_version: shortText.nullable().optional(),
  metadata: metadata.optional(),
});

export const gatewayResponse = z.object({
  id: z.string(),
  factory_id: z.string(),
  gateway_id: z.string(),
  name: z.string(),
  model: z.string().nullable(),
  firmware_version: z.string().nullable(),
  url: z.string(),
  email: z.string(),
  desired_state: z.enum(['connected', 'disconnected']),
  generation: z.number(),
  metadata: z.record(z.string(), z.unknown()),
  last_seen_at: z.date().nullable(),
  created_at: z.date(),
  updated_at: z.date(),
  deleted_at: z.date().nullable(),
});

export const gatewayPage = z.object({
  data: z.array(gatewayResponse),
  pagination: z.object({
    total: z.number(),
    limit: z.number(),
    offset: z.number().nullable(),
    has_next: z.boolean(),
    has_prev: z.boolean(),
    next_cursor: z.string().nullable(),
  }),
});
