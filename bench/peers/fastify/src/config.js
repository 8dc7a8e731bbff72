// The settings, from the environment.

/** @param {string} name */
function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** @param {string} [text] */
const words = (text = '') => text.split(',').map((word) => word.trim()).filter(Boolean);

const processes = Number(process.env.API_PROCESSES ?? 1);

export const config = Object.freeze({
  databaseUrl: required('DATABASE_URL'),
  encryptionKey: required('ENCRYPTION_KEY'),
  corsOrigins: words(process.env.CORS_ORIGINS),
  host: process.env.HOST ?? '127.0.0.1',
  port: Number(process.env.PORT ?? 3000),
  processes,
  poolMax: Number(process.env.DB_POOL_MAX ?? 16) / processes,
});
