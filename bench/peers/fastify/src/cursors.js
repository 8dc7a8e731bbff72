// Cursors: a text that names the row after which a page begins.

import { z } from 'zod';

const place = z.tuple([z.string(), z.guid()]);

/** @param {{ name: string, id: string }} row */
export const encodeCursor = (row) => Buffer.from(JSON.stringify([row.name, row.id])).toString('base64url');

/**
 * @param {string} text
 * @param {import('zod').RefinementCtx} context
 */
export function decodeCursor(text, context) {
  try {
    const [name, id] = place.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    return { name, id };
  } catch {
    context.addIssue('must be a next_cursor of this list');
    return z.NEVER;
  }
}
