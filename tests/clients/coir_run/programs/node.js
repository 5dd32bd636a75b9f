// A server and its clients, children, timers, files: what the event loop of libuv is used for.
'use strict';
const assert = require('node:assert');
const { exec, execFile, fork, spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const { once } = require('node:events');
const { promisify } = require('node:util');
const { setTimeout: after } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');
const zlib = require('node:zlib');

const shell = promisify(exec);
const program = promisify(execFile);

async function served(body) {
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    response.end(`${request.method} ${request.url} ${Buffer.concat(parts).length}`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await body(server.address().port);
  server.close();
  await once(server, 'close');
}

async function ask(port, path, options = {}, data = '') {
  const request = http.request({ host: '127.0.0.1', port, path, ...options });
  request.end(data);
  const [response] = await once(request, 'response');
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return `${response.statusCode} ${text}`;
}

async function children() {
  console.log('exec:', (await shell('echo out; echo err >&2')).stdout.trim());
  await assert.rejects(shell('exit 3'), { code: 3 });
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => shell(`echo child ${i}`)));
  console.log(answers.map(({ stdout }) => stdout.trim()).join(', '));
  console.log('execFile:', (await program('/bin/sh', ['-c', 'echo "$0"', 'name'])).stdout.trim());

  const cat = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
  const read = (async () => {
    let size = 0;
    for await (const part of cat.stdout) size += part.length;
    return size;
  })();
  cat.stdin.end(Buffer.alloc(1 << 20, 'x'));
  const [code] = await once(cat, 'close');
  console.log('spawn:', code, await read);

  const killed = spawn('sleep', ['30']);
  await once(killed, 'spawn');
  killed.kill();
  console.log('killed:', (await once(killed, 'exit')).join(' '));
  await assert.rejects(once(spawn('/no/such/program'), 'exit'), { code: 'ENOENT' });
  await assert.rejects(shell('sleep 30', { timeout: 50 }), { killed: true });
}

async function files() {
  await fs.promises.mkdir('folder');
  await Promise.all(Array.from({ length: 16 }, (_, i) => fs.promises.writeFile(`folder/${i}`, `file ${i}\n`.repeat(1000))));
  const all = await Promise.all(Array.from({ length: 16 }, (_, i) => fs.promises.readFile(`folder/${i}`, 'utf8')));
  console.log('files:', all.map((text) => text.length).join(' '));
  const copy = fs.createReadStream('folder/7').pipe(zlib.createGzip()).pipe(fs.createWriteStream('copy.gz'));
  await once(copy, 'finish');
  console.log('copy:', zlib.gunzipSync(fs.readFileSync('copy.gz')).length);
  fs.rmSync('copy.gz');
  const handle = await fs.promises.open('folder/0', 'r+');
  await handle.write('FILE', 0);
  await handle.sync();
  await handle.close();
  console.log('changed:', fs.readFileSync('folder/0', 'utf8').slice(0, 6), fs.readdirSync('folder').length);
}

async function timers() {
  const order = [];
  await Promise.all([60, 20, 40].map(async (ms) => { await after(ms); order.push(ms); }));
  let ticks = 0;
  const ticker = setInterval(() => ++ticks, 5);
  await after(100);
  clearInterval(ticker);
  console.log('timers:', order.join(' '), ticks > 3);
}

async function streams() {
  const server = net.createServer((socket) => socket.pipe(socket)).listen('socket');
  await once(server, 'listening');
  const lengths = await Promise.all(Array.from({ length: 10 }, async (_, i) => {
    const socket = net.connect('socket');
    socket.end('x'.repeat(i * 10000));
    let size = 0;
    for await (const part of socket) size += part.length;
    return size;
  }));
  console.log('streams:', lengths.join(' '));
  server.close();
  await once(server, 'close');
}

async function workers() {
  const answers = await Promise.all([1, 2, 3].map(async (n) => {
    const worker = new Worker(`
      const { parentPort, workerData } = require('node:worker_threads');
      require('node:child_process').exec('echo ' + workerData, (_, out) => parentPort.postMessage(out.trim()));
    `, { eval: true, workerData: n });
    const [answer] = await once(worker, 'message');
    return answer;
  }));
  console.log('workers:', answers.join(' '));
}

async function main() {
  await served(async (port) => {
    console.log(await ask(port, '/first'));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
    const answers = await Promise.all(Array.from({ length: 20 },
      (_, i) => ask(port, `/${i}`, { agent, method: 'POST' }, 'y'.repeat(i * 5000))));
    console.log(answers.join('; '));
    agent.destroy();
    // Numbers that sockets had are the children's pipes now, and the other way round.
    for (let round = 0; round < 3; ++round) {
      await children();
      console.log(await ask(port, `/round${round}`));
      console.log((await shell(`exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET /shell HTTP/1.0\\r\\n\\r\\n' >&3; tail -1 <&3`,
        { shell: '/bin/bash' })).stdout);
    }
  });
  await files();
  await timers();
  await streams();
  await workers();
  const child = fork(__filename, ['child']);
  child.send({ word: 'hello' });
  console.log('fork:', (await once(child, 'message'))[0], ...await once(child, 'exit'));
  console.log('done');
}

if (process.argv[2] === 'child')
  process.once('message', ({ word }) => process.send(word.toUpperCase(), () => process.disconnect()));
else
  main();
