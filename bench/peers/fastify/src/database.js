// PostgreSQL over a pool, with Kysely as query builder.

import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

// Counters stay far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** @param {typeof import('./config.js').config} config */
export function createDatabase(config) {
  const pool = new pg.Pool({
    connectionString: config.databaseUrl,
    max: config.poolMax,
    connectionTimeoutMillis: 2000,
    idleTimeoutMillis: 30_000,
    statement_timeout: 4000,
    application_name: 'fastify',
    // Turns off the notifying trigger on gateways.
    options: '-c millgate.defer_notify=on',
  });
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}
