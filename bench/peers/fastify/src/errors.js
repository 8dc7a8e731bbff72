// All errors, and their HTTP responses.

import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';

export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {{ field: string, message: string, type: string }[]} [details]
   */
  constructor(status, code, message, details = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export const gatewayNotFound = () => new ApiError(404, 'GATEWAY_NOT_FOUND', 'Gateway not found.');
export const preconditionFailed = () =>
  new ApiError(412, 'PRECONDITION_FAILED', 'The resource has changed. Fetch it again and retry.');
export const factoryUnknown = () =>
  invalid([{ field: 'factory_id', message: 'does not exist', type: 'unknown' }]);

const gatewayIdTaken = () =>
  new ApiError(409, 'GATEWAY_ID_CONFLICT', 'Another gateway has this gateway_id.', [
    { field: 'gateway_id', message: 'is taken by another gateway', type: 'conflict' },
  ]);

const STATUSES = /** @type {const} */ ({
  413: ['PAYLOAD_TOO_LARGE', 'The body is too large: at most 1 MiB.'],
  415: ['UNSUPPORTED_MEDIA_TYPE', 'The body must be application/json, in UTF-8 and not compressed.'],
});

/** @param {import('fastify').FastifyInstance} app */
export function handleErrors(app) {
  app.setErrorHandler((error, request, reply) => answer(apiErrorOf(error, request), request, reply));
  app.setNotFoundHandler((request, reply) =>
    answer(new ApiError(404, 'NOT_FOUND', 'Not found.'), request, reply));
}

/** @param {ApiError} error */
function answer({ status, code, message, details }, request, reply) {
  return reply.code(status).send({ error: { code, message, details, request_id: request.id } });
}

/** @returns {ApiError} */
function apiErrorOf(error, request) {
  if (error instanceof ApiError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) return invalid(error.validation.flatMap(detailsOf));
  if (error.constraint === 'gateways_live_device_id_key') return gatewayIdTaken();
  if (error.constraint === 'gateways_factory_id_fkey') return factoryUnknown();
  if (error.statusCode === 400) {
    return new ApiError(400, 'INVALID_JSON', 'The body is not valid JSON.', [
      { field: 'body', message: 'is not valid JSON', type: 'json_invalid' },
    ]);
  }
  if (error.statusCode in STATUSES) return new ApiError(error.statusCode, ...STATUSES[error.statusCode]);
  request.log.error({ err: error }, 'a request crashed: a bug');
  return new ApiError(500, 'INTERNAL_ERROR', 'Internal error. It was logged under this request_id.');
}

/** @param {{ field: string, message: string, type: string }[]} details */
function invalid(details) {
  return new ApiError(400, 'VALIDATION_ERROR', 'The request is not valid.', details);
}

function detailsOf({ instancePath, message, keyword, params }) {
  if (keyword === 'unrecognized_keys') {
    return params.keys.map((field) => ({ field, message: 'unknown field', type: 'extra_forbidden' }));
  }
  return [{ field: instancePath.slice(1).replaceAll('/', '.'), message, type: keyword }];
}
