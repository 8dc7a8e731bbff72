// Serves in one process or API_PROCESSES, which share the port.

import cluster from 'node:cluster';

import { createApp } from './app.js';
import { config } from './config.js';

if (cluster.isPrimary && config.processes > 1) {
  for (let started = 0; started < config.processes; started += 1) cluster.fork();
} else {
  const app = await createApp(config);
  await app.listen({ host: config.host, port: config.port });
  const close = () => app.close().then(() => process.exit(0));
  process.once('SIGTERM', close);
  process.once('SIGINT', close);
}
