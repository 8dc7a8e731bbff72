// Entity tags: `"VERSION-DIGEST"` of one gateway, `"DIGEST"` of a page.

import { createHash } from 'node:crypto';

import { preconditionFailed } from './errors.js';

/** @param {import('fastify').FastifyInstance} app */
export function tagAnswers(app) {
  app.decorateReply('version', null);
  app.addHook('onSend', async (request, reply, payload) => {
    if (reply.statusCode >= 300 || typeof payload !== 'string') return payload;
    const digest = createHash('sha256').update(payload).digest('hex').slice(0, 24);
    const tag = reply.version === null ? `"${digest}"` : `"${reply.version}-${digest}"`;
    reply.header('ETag', tag);
    const known = request.method === 'GET' ? request.headers['if-none-match'] : undefined;
    if (known === undefined || !tagsIn(known).some((each) => each === '*' || each === tag)) return payload;
    reply.code(304).removeHeader('Content-Type');
    return null;
  });
}

/**
 * Whether a write is meant for this version; `If-Match` compares the version alone.
 * @param {string} wanted
 * @param {number} version
 */
export function checkVersion(wanted, version) {
  if (!tagsIn(wanted).some((tag) => tag === '*' || tag.startsWith(`"${version}-`))) throw preconditionFailed();
}

/** @param {string} header */
const tagsIn = (header) => header.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
