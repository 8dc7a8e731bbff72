// Routes of gateways.

import { v7 as uuidv7 } from 'uuid';

import { encodeCursor } from './cursors.js';
import { factoryUnknown, gatewayNotFound } from './errors.js';
import {
  gatewayCreate, gatewayListQuery, gatewayPage, gatewayParams, gatewayResponse, gatewayUpdate, noQuery,
} from './schemas.js';
import { checkVersion } from './tags.js';

const COLUMNS = /** @type {const} */ ([
  'gateways.id', 'gateways.factory_id', 'gateways.device_id as gateway_id', 'gateways.name', 'gateways.model',
  'gateways.firmware_version', 'gateways.url', 'gateways.email', 'gateways.desired_state', 'gateways.generation',
  'gateways.metadata', 'gateways.created_at', 'gateways.updated_at', 'gateways.deleted_at', 'gateways.version',
]);

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {{ database: import('kysely').Kysely<any>, seal: (password: string, rowId: string) => Buffer }} services
 */
export async function gatewayRoutes(app, { database, seal }) {
  app.route({
    method: 'GET',
    url: '/api/gateways/:id',
    schema: { params: gatewayParams, querystring: noQuery, response: { 200: gatewayResponse } },
    async handler(request, reply) {
      const gateway = await live(database)
        .leftJoin('gateway_connections as c', 'c.gateway_id', 'gateways.id')
        .select([...COLUMNS, 'c.last_seen_at'])
        .where('gateways.id', '=', request.params.id)
        .executeTakeFirst();
      if (gateway === undefined) throw gatewayNotFound();
      reply.version = gateway.version;
      return gateway;
    },
  });

  app.route({
    method: 'GET',
    url: '/api/gateways',
    schema: { querystring: gatewayListQuery, response: { 200: gatewayPage } },
    async handler(request) {
      const { limit, offset, cursor } = request.query;
      const [found, { total }] = await Promise.all([
        page(database, request.query).execute(),
        narrowed(live(database), request.query)
          .select(({ fn }) => fn.countAll().as('total'))
          .executeTakeFirstOrThrow(),
      ]);
      const data = found.slice(0, limit);
      const hasNext = found.length > limit;
      return {
        data,
        pagination: {
          total,
          limit,
          offset: cursor === undefined ? (offset ?? 0) : null,
          has_next: hasNext,
          has_prev: cursor !== undefined || (offset ?? 0) > 0,
          next_cursor: hasNext ? encodeCursor(data[data.length - 1]) : null,
        },
      };
    },
  });

  app.route({
    method: 'POST',
    url: '/api/gateways',
    schema: { querystring: noQuery, body: gatewayCreate, response: { 201: gatewayResponse } },
    async handler(request, reply) {
      const { password, gateway_id: deviceId, ...values } = request.body;
      const id = uuidv7();
      const gateway = await database.transaction().execute(async (transaction) => {
        await lockFactory(transaction, values.factory_id);
        return transaction
          .insertInto('gateways')
          .values({ id, device_id: deviceId, ...values, sealed_password: seal(password, id) })
          .returning(COLUMNS)
          .executeTakeFirstOrThrow();
      });
      reply.version = gateway.version;
      reply.code(201).header('Location', `/api/gateways/${id}`);
      return { ...gateway, last_seen_at: null };
    },
  });

  app.route({
    method: ['PUT', 'PATCH'],
    url: '/api/gateways/:id',
    schema: { params: gatewayParams, querystring: noQuery, body: gatewayUpdate, response: { 200: gatewayResponse } },
    async handler(request, reply) {
      const { id } = request.params;
      const { password, gateway_id: deviceId, ...changes } = request.body;
      if (deviceId !== undefined) changes.device_id = deviceId;
      if (password !== undefined) changes.sealed_password = seal(password, id);
      const gateway = await database.transaction().execute(async (transaction) => {
        if (changes.factory_id !== undefined) await lockFactory(transaction, changes.factory_id);
        if (request.headers['if-match'] !== undefined) await checkMatch(transaction, request);
        return transaction
          .updateTable('gateways')
          // An empty body is a change, too.
          .set({ id, ...changes })
          .where('id', '=', id)
          .where('deleted_at', 'is', null)
          .returning((eb) => [
            ...COLUMNS,
            eb.selectFrom('gateway_connections as c')
              .select('c.last_seen_at')
              .whereRef('c.gateway_id', '=', 'gateways.id')
              .as('last_seen_at'),
          ])
          .executeTakeFirst();
      });
      if (gateway === undefined) throw gatewayNotFound();
      reply.version = gateway.version;
      return gateway;
    },
  });
}

const live = (executor) => executor.selectFrom('gateways').where('gateways.deleted_at', 'is', null);

function narrowed(query, { factory_id: factoryId, desired_state: desiredState }) {
  return query
    .$if(factoryId !== undefined, (some) => some.where('gateways.factory_id', '=', factoryId))
    .$if(desiredState !== undefined, (some) => some.where('gateways.desired_state', '=', desiredState));
}

/** One row more than is shown, so that a next page shows. */
function page(database, { limit, offset, cursor, ...filters }) {
  return narrowed(live(database), filters)
    .leftJoin('gateway_connections as c', 'c.gateway_id', 'gateways.id')
    .select([...COLUMNS, 'c.last_seen_at'])
    .$if(cursor !== undefined, (some) => some.where(({ eb, refTuple, tuple }) =>
      eb(refTuple('gateways.name', 'gateways.id'), '>', tuple(cursor.name, cursor.id))))
    .orderBy('gateways.name')
    .orderBy('gateways.id')
    .limit(limit + 1)
    .offset(offset ?? 0);
}

/** Holds the row, as it is, against the condition of a write. */
async function checkMatch(transaction, request) {
  const before = await live(transaction)
    .select('version')
    .where('id', '=', request.params.id)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (before === undefined) throw gatewayNotFound();
  checkVersion(request.headers['if-match'], before.version);
}

/** Keeps a factory from being deleted for the rest of the transaction. */
async function lockFactory(transaction, id) {
  const factory = await transaction
    .selectFrom('factories')
    .select('id')
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .forShare()
    .executeTakeFirst();
  if (factory === undefined) throw factoryUnknown();
}
