// peer-bullmq.js N: N jobs through BullMQ, each of which spawns /bin/true; prints jobs a second from the first submission to the last result.
'use strict';
const { Queue, Worker } = require(process.env.PEER_BULLMQ);
const { spawn } = require('child_process');

const n = Number(process.argv[2]);
const connection = { host: '127.0.0.1', port: Number(process.env.PEER_PORT), maxRetriesPerRequest: null };
const name = 'noop-' + process.pid;

async function main() {
        const queue = new Queue(name, { connection });
        const worker = new Worker(name, () => new Promise((resolve, reject) => {
                spawn('/bin/true', { stdio: 'ignore' }).on('close', resolve).on('error', reject);
        }), { connection, concurrency: Number(process.env.PEER_SLOTS) });
        await worker.waitUntilReady();
        let done = 0;
        const all = new Promise(resolve => worker.on('completed', () => { if (++done === n) resolve(); }));
        const begin = process.hrtime.bigint();
        for (let i = 0; i < n; i += 1000)
                await queue.addBulk(Array.from({ length: Math.min(1000, n - i) }, () => ({ name: 'noop', data: {} })));
        await all;
        console.log(n / (Number(process.hrtime.bigint() - begin) / 1e9));
        await worker.close();
        await queue.close();
        process.exit(0);
}
main();
