/** What only SSE has: HTTP statuses and headers, and blocks with an id alone. And what only WebSocket has: close codes. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { EventStream } from '../../static/events/client.js';
import { catchErrors, reach, startPair } from './support/client.js';
import { eventOf } from './support/events.js';
import { Queue } from './support/queue.js';

test('the request asks for an event stream with the headers given, and a function is asked before each', async (t) => {
  let token = 0;
  const { server, stream } = await startPair(t, { headers: async () => ({ Authorization: `Token ${++token}` }) });
  stream.connect();
  const first = await server.nextOpened();
  first.end();
  const second = await server.next();
  assert.equal(first.request.headers.accept, 'text/event-stream');
  assert.deepEqual([first, second].map(({ request }) => request.headers.authorization), ['Token 1', 'Token 2']);
});

test('fetch is given the credentials of the same origin only, and no cache', async (t) => {
  const calls = new Queue();
  const spy = (url, init) => {
    calls.push(init);
    return fetch(url, init);
  };
  const { server, stream } = await startPair(t, { fetch: spy });
  stream.connect();
  await server.nextOpened();
  const { credentials, cache } = await calls.next();
  assert.deepEqual({ credentials, cache }, { credentials: 'same-origin', cache: 'no-store' });
});

test('a connect and disconnect in one task call fetch once, for the connect that stays', async (t) => {
  const calls = [];
  const spy = (...call) => {
    calls.push(call);
    return fetch(...call);
  };
  const { server, stream, states } = await startPair(t, { fetch: spy });
  stream.connect();
  stream.disconnect();
  stream.connect();
  await server.nextOpened();
  await reach(states, 'open');
  assert.equal(calls.length, 1);
});

test('headers with a WebSocket are refused when the stream is made, as no browser could send them', () => {
  assert.throws(() => new EventStream({ transport: 'websocket', headers: { Authorization: 'x' } }), TypeError);
});

test('an option or a transport that does not exist is refused when the stream is made', () => {
  assert.throws(() => new EventStream({ min_priority: 'high' }), /no option min_priority/);
  assert.throws(() => new EventStream({ transport: 'pigeon' }), /no transport "pigeon"/);
});

for (const [name, value] of [
  ['types', 'document.*'], ['types', [7]], ['types', null], ['categories', 'security'], ['categories', ['securty']],
  ['minPriority', 'urgent'], ['minPriority', 3], ['headers', { 'not a name': 'x' }],
]) {
  test(`the option ${name} can't be ${JSON.stringify(value)}, which is told when the stream is made`, () => {
    const problem = name === 'categories' && Array.isArray(value) ? /no category "securty"/ : new RegExp(`option ${name}\\b`);
    assert.throws(() => new EventStream({ [name]: value }), (error) => error instanceof TypeError && problem.test(error.message));
  });
}

test('an option that is undefined is as if it were not given', () => {
  assert.equal(new EventStream({ transport: undefined, types: undefined }).getConnectionStats().transport, 'sse');
});

test('an address that is none throws at connect and leaves the stream idle', () => {
  const stream = new EventStream({ url: 'http://' });
  assert.throws(() => stream.connect(), TypeError);
  assert.equal(stream.state, 'idle');
});

test('a query that the address already has is kept', async (t) => {
  const { server } = await startPair(t);
  const stream = new EventStream({ url: `${server.url}?tenant=7`, types: ['a.b'] });
  t.after(() => stream.disconnect());
  stream.connect();
  assert.deepEqual(Object.fromEntries((await server.next()).query), { tenant: '7', types: 'a.b' });
});

for (const status of [429, 503]) {
  test(`Retry-After of a ${status} is waited for, and the random wait comes on top`, async (t) => {
    const { server, stream, states } = await startPair(t, { retry: { base: 8, random: () => 0.5 } });
    stream.connect();
    const refused = performance.now();
    (await server.next()).refuse(status, { error: 'later' }, { 'Retry-After': '1' });
    const { retryIn, reason, detail } = await reach(states, 'reconnecting');
    assert.deepEqual({ retryIn, reason, status: detail.status }, { retryIn: 1_004, reason: 'later', status });
    await server.nextOpened();
    assert.ok(performance.now() - refused >= 1_000);
  });
}

for (const status of [408, 425, 500, 502, 504]) {
  test(`a ${status} is tried again`, async (t) => {
    const { server, stream, states } = await startPair(t);
    stream.connect();
    (await server.next()).refuse(status);
    assert.equal((await reach(states, 'reconnecting')).reason, `http_${status}`);
    await server.nextOpened();
    await reach(states, 'open');
  });
}

for (const status of [404, 405, 410]) {
  test(`a ${status} is not tried again`, async (t) => {
    const { server, stream, states } = await startPair(t);
    stream.connect();
    (await server.next()).refuse(status);
    assert.deepEqual((await reach(states, 'refused')).detail, { error: `http_${status}`, status });
  });
}

test('a refusal in plain text, as a proxy sends it, is told as its detail', async (t) => {
  const { server, stream, states } = await startPair(t);
  stream.connect();
  const { response } = await server.next();
  response.writeHead(403, { 'Content-Type': 'text/plain' }).end('Go away.');
  assert.deepEqual((await reach(states, 'refused')).detail, { error: 'http_403', detail: 'Go away.', status: 403 });
});

test('an answer that is no event stream, such as the page of a captive portal after a redirect, is tried again', async (t) => {
  const { server, stream, states } = await startPair(t);
  stream.connect();
  (await server.next()).response.writeHead(302, { Location: '/portal' }).end();
  (await server.next()).response.writeHead(200, { 'Content-Type': 'text/html' }).end('<form>');
  const { reason, detail } = await reach(states, 'reconnecting');
  assert.deepEqual({ reason, detail }, { reason: 'not_an_event_stream', detail: { error: 'not_an_event_stream', status: 200 } });
  await server.nextOpened();
  await reach(states, 'open');
});

test('waits grow from attempt to attempt within the jitter bounds', async (t) => {
  const { server, stream, states } = await startPair(t, { retry: { base: 4, cap: 20, random: () => 1 } });
  stream.connect();
  const waits = [];
  for (let n = 0; n < 5; n += 1) {
    (await server.next()).refuse(500);
    waits.push((await reach(states, 'reconnecting')).retryIn);
  }
  assert.deepEqual(waits, [4, 8, 16, 20, 20]);
  assert.equal(stream.getConnectionStats().failedAttempts, 5);
});

test('waits start small again after a stream that stayed open', async (t) => {
  const { server, stream, states } = await startPair(t, { retry: { base: 4, random: () => 1, stableAfter: 0 } });
  stream.connect();
  const waits = [];
  for (const answer of ['refuse', 'refuse', 'open', 'refuse']) {
    const connection = await server.next();
    if (answer === 'refuse') connection.refuse(500);
    else {
      connection.open();
      await reach(states, 'open');
      connection.end();
    }
    waits.push((await reach(states, 'reconnecting')).retryIn);
  }
  assert.deepEqual(waits, [4, 8, 4, 8]);
});

test('waits keep growing while streams open and close at once', async (t) => {
  const { server, stream, states } = await startPair(t, { retry: { base: 4, random: () => 1, stableAfter: 60_000 } });
  stream.connect();
  const waits = [];
  for (let n = 0; n < 3; n += 1) {
    (await server.nextOpened()).end();
    waits.push((await reach(states, 'reconnecting')).retryIn);
  }
  assert.deepEqual(waits, [4, 8, 16]);
});

test('a block with an id alone moves the cursor and calls nothing', async (t) => {
  const { server, stream } = await startPair(t);
  const events = new Queue();
  stream.onAny(events.push);
  stream.connect();
  const connection = await server.nextOpened();
  connection.write('id: epoch:33\n\n');
  connection.event(eventOf({ category: 'streaming' }));
  await events.next();
  assert.equal(stream.cursor, 'epoch:33');
  assert.equal(events.all.length, 1);
});

test('an event that the server named by its type is delivered as any other', async (t) => {
  const { server, stream } = await startPair(t);
  const events = new Queue();
  stream.on('document.uploaded', events.push);
  stream.connect();
  (await server.nextOpened()).write(`event: document.uploaded\ndata: ${JSON.stringify(eventOf())}\n\n`);
  await events.next();
});

test('an event that is cut within a character arrives whole', async (t) => {
  const { server, stream } = await startPair(t);
  const events = new Queue();
  stream.onAny(events.push);
  stream.connect();
  const { response } = await server.nextOpened();
  const bytes = Buffer.from(`data: ${JSON.stringify(eventOf({ data: { name: '𝄞' } }))}\n\n`);
  const cut = bytes.indexOf('𝄞') + 2;
  await new Promise((resolve) => response.write(bytes.subarray(0, cut), resolve));
  response.write(bytes.subarray(cut));
  assert.equal((await events.next()).data.name, '𝄞');
});

test('a connection that breaks in the middle of an event delivers it once, after the reconnect', async (t) => {
  const { server, stream } = await startPair(t);
  const events = new Queue();
  stream.onAny(events.push);
  stream.connect();
  const first = await server.nextOpened();
  const event = eventOf();
  first.write(`id: epoch:11\ndata: ${JSON.stringify(event)}\n`);
  first.end();
  const second = await server.next();
  assert.equal(second.query.get('cursor'), 'epoch:10');
  second.open({ outcome: 'resumed' });
  second.event(event, 'epoch:11');
  assert.deepEqual(await events.next(), event);
  assert.equal(events.all.length, 1);
});

for (const [what, fail] of Object.entries({
  'are refused': () => Promise.reject(new Error('no token')),
  'make their function throw': () => {
    throw new Error('no token');
  },
  'can\'t be sent': () => ({ 'no token': 'x' }),
})) {
  test(`headers that ${what} are reported for what they are, and asked for again`, async (t) => {
    const errors = catchErrors(t);
    let asked = 0;
    const headers = () => (asked++ ? { Authorization: 'Token x' } : fail());
    const { server, stream, states } = await startPair(t, { headers });
    stream.connect();
    assert.equal((await reach(states, 'reconnecting')).reason, 'headers');
    assert.match(stream.getConnectionStats().lastError, /headers|no token/);
    assert.match(errors.all[0][0], /headers/);
    assert.equal((await server.nextOpened()).request.headers.authorization, 'Token x');
    assert.equal(errors.all.length, 1);
  });
}

const CLOSE_CODES = {
  1001: 'server_stopping', 1012: 'server_stopping', 4001: 'connection_expired', 4002: 'epoch_changed', 4003: 'access_changed',
  4012: 'server_stopping', 4013: 'slow_consumer', 4429: 'too_many_connections', 4503: 'stopping',
};
for (const [code, reason] of Object.entries(CLOSE_CODES)) {
  test(`close code ${code} without a word is ${reason}, and the stream comes back`, async (t) => {
    const { server, stream, states } = await startPair(t, { transport: 'websocket' });
    stream.connect();
    (await server.nextOpened()).end(Number(code));
    assert.equal((await reach(states, 'reconnecting')).reason, reason);
    await server.nextOpened();
    await reach(states, 'open');
  });
}

for (const [code, reason] of [[4400, 'invalid'], [4401, 'unauthenticated'], [4403, 'forbidden']]) {
  test(`close code ${code} is ${reason}, told with the close reason, and final`, async (t) => {
    const { server, stream, states } = await startPair(t, { transport: 'websocket' });
    stream.connect();
    (await server.next()).end(code, 'because');
    const { detail } = await reach(states, 'refused');
    assert.deepEqual(detail, { error: reason, code, detail: 'because', status: code - 4000 });
  });
}

test('a socket that is refused before the handshake is tried again', async (t) => {
  const { server, stream, states } = await startPair(t, { transport: 'websocket' });
  const { port } = server;
  await server.stop();
  const refusing = createServer((_, response) => response.writeHead(403).end());
  await new Promise((resolve) => refusing.listen(port, '127.0.0.1', resolve));
  t.after(() => refusing.close());
  stream.connect();
  assert.equal((await reach(states, 'reconnecting')).reason, 'network');
});

test('a message that holds a list gives its events one after the other, and asks for lists', async (t) => {
  catchErrors(t);
  const { server, stream } = await startPair(t, { transport: 'websocket' });
  const events = new Queue();
  stream.onAny(events.push);
  stream.connect();
  const connection = await server.nextOpened();
  assert.equal(connection.query.get('batch'), '1');
  const [first, second] = [eventOf(), eventOf()];
  connection.write(JSON.stringify([{ ...first, cursor: 'epoch:11' }, null, { ...second, cursor: 'epoch:12' }]));
  assert.equal((await events.next()).id, first.id);
  assert.equal((await events.next()).id, second.id);
  assert.equal(stream.cursor, 'epoch:12');
  assert.equal(stream.getConnectionStats().malformed, 1);
});
