// The application as a whole.

import { randomUUID } from 'node:crypto';

import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import Fastify from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { pino, stdTimeFunctions } from 'pino';

import { createDatabase } from './database.js';
import { handleErrors } from './errors.js';
import { gatewayRoutes } from './gateways.js';
import { createSealer } from './sealing.js';
import { tagAnswers } from './tags.js';

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

/** @param {typeof import('./config.js').config} config */
export async function createApp(config) {
  const app = Fastify({
    loggerInstance: pino({
      base: { logger: 'peer.request' },
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    }),
    // One line a request, when it is answered.
    disableRequestLogging: true,
    requestIdLogLabel: 'request_id',
    bodyLimit: 1024 * 1024,
    genReqId: ({ headers }) => {
      const offered = headers['x-request-id'];
      return offered !== undefined && REQUEST_ID.test(offered) ? offered : randomUUID();
    },
  });
  const database = createDatabase(config);
  app.addHook('onClose', () => database.destroy());
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    crossOriginOpenerPolicy: false,
    crossOriginResourcePolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xFrameOptions: { action: 'deny' },
    strictTransportSecurity: false,
    xPermittedCrossDomainPolicies: false,
    referrerPolicy: { policy: 'no-referrer' },
    xXssProtection: false,
  });
  if (config.corsOrigins.length > 0) {
    await app.register(cors, { origin: config.corsOrigins, exposedHeaders: ['ETag', 'Location', 'X-Request-ID'] });
  }
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'Permissions-Policy': 'browsing-topics=()',
      'Cache-Control': 'no-store',
      'X-Request-ID': request.id,
    });
  });
  app.addHook('onResponse', async (request, reply) => {
    const path = request.url.split('?', 1)[0];
    request.log.info(
      {
        method: request.method,
        path,
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
      },
      `${request.method} ${path} ${reply.statusCode}`,
    );
  });
  handleErrors(app);
  tagAnswers(app);
  app.get('/api/health', async () => ({ status: 'ok' }));
  await app.register(gatewayRoutes, { database, seal: createSealer(config.encryptionKey) });
  return app;
}
