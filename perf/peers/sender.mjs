// perf/peers/sender.mjs - a sender of webhooks as it is usually written for Node.js: node's own
// http module, a keep-alive agent, so many requests in flight; or, where it is installed, undici.
//
//   node sender.mjs http|undici FILE CONNECTIONS
//
// Reads the same NDJSON records as hookline, sends each body as it stands in memory after parsing,
// reads each answer to its end, and prints how many were answered with 2xx.
import fs from 'node:fs';
import http from 'node:http';

const [kind, file, connectionsText] = process.argv.slice(2);
const connections = Number(connectionsText);
const lines = fs.readFileSync(file, 'utf8').split('\n');
let next = 0;
let delivered = 0;

function take() {
  while (next < lines.length && lines[next] === '') next++;
  return next < lines.length ? JSON.parse(lines[next++]) : null;
}

function headersOf(body) {
  return { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
}

function withHttp() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  return (record) => new Promise((resolve, reject) => {
    const body = JSON.stringify(record.body);
    const req = http.request(record.url, { method: 'POST', agent, headers: headersOf(body) },
      (res) => {
        res.on('data', () => {});
        res.on('end', () => resolve(res.statusCode));
      });
    req.on('error', reject);
    req.end(body);
  });
}

async function withUndici() {
  const { Agent, request } = await import('undici');
  const dispatcher = new Agent({ connections });
  return async (record) => {
    const body = JSON.stringify(record.body);
    const res = await request(record.url,
      { method: 'POST', headers: headersOf(body), body, dispatcher });
    await res.body.dump();
    return res.statusCode;
  };
}

async function worker(send) {
  for (let record = take(); record !== null; record = take()) {
    const status = await send(record);
    if (status >= 200 && status < 300) delivered++;
  }
}

const send = kind === 'undici' ? await withUndici() : withHttp();
await Promise.all(Array.from({ length: connections }, () => worker(send)));
process.stdout.write(`${delivered}\n`, () => process.exit(0));
