// node main.mjs GATEWAYS.json PORT: keeps gateways connected; GET /summary and GET /status/ID tell how they are.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { Gate } from './gate.mjs';
import { Gateway } from './gateway.mjs';

const MAX_HANDSHAKES = 50;

const [file, port] = process.argv.slice(2);
const gate = new Gate(MAX_HANDSHAKES);
const gateways = new Map(
  JSON.parse(readFileSync(file, 'utf8')).map((each) => [each.id, new Gateway(each, gate)]),
);

function summary() {
  const states = {};
  const kinds = {};
  let messagesReceived = 0;
  for (const gateway of gateways.values()) {
    states[gateway.state] = (states[gateway.state] ?? 0) + 1;
    messagesReceived += gateway.messagesReceived;
    for (const [kind, count] of Object.entries(gateway.kinds)) kinds[kind] = (kinds[kind] ?? 0) + count;
  }
  return { states, kinds, messages_received: messagesReceived };
}

function find(path) {
  if (path === '/summary') return summary();
  return gateways.get(path.slice('/status/'.length))?.status();
}

createServer((request, response) => {
  const body = find(request.url);
  response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body ?? {}));
}).listen(Number(port), '127.0.0.1');

for (const gateway of gateways.values()) gateway.start();
