/** What holds over SSE and over WebSocket alike. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TRANSPORTS, catchErrors, reach, startPair, streamTo } from './support/client.js';
import { eventOf } from './support/events.js';
import { Queue } from './support/queue.js';
import { WireServer } from './support/server.js';

for (const transport of TRANSPORTS) {
  const start = (t, options = {}) => startPair(t, { transport, ...options });

  test(`${transport}: an event reaches its callback as the server sent it, without the cursor`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.on('document.uploaded', events.push);
    stream.connect();
    const connection = await server.nextOpened();
    const sent = eventOf({ data: { name: 'Übersicht 𝄞' } });
    connection.event(sent, 'epoch:11');
    assert.deepEqual(await events.next(), sent);
  });

  const always = transport === 'websocket' ? { batch: '1' } : {};

  test(`${transport}: what is asked for is sent as the wire says`, async (t) => {
    const { server, stream } = await start(t, {
      types: ['document.*', '*.failed'], categories: ['realtime', 'security'], minPriority: 'high', cursor: 'epoch:7',
    });
    stream.connect();
    const { query } = await server.nextOpened({ outcome: 'resumed' });
    assert.deepEqual(Object.fromEntries(query), {
      types: 'document.*,*.failed', categories: 'realtime,security', min_priority: 'high', cursor: 'epoch:7', ...always,
    });
  });

  test(`${transport}: what is not asked for is not sent`, async (t) => {
    const { server, stream } = await start(t);
    stream.connect();
    assert.deepEqual(Object.fromEntries((await server.next()).query), always);
  });

  test(`${transport}: the states go from connecting to open to reconnecting to open to closed`, async (t) => {
    const { server, stream, states } = await start(t);
    assert.equal(stream.state, 'idle');
    stream.connect();
    assert.equal(stream.state, 'connecting');
    (await server.nextOpened()).control({ stream: 'close', reason: 'connection_expired' });
    await server.nextOpened({ outcome: 'resumed' });
    await reach(states, 'reconnecting');
    await reach(states, 'open');
    stream.disconnect();
    assert.deepEqual(
      states.all.map(({ previous, state, outcome, reason }) => [previous, state, outcome, reason]),
      [
        ['idle', 'connecting', null, null], ['connecting', 'open', 'fresh', null],
        ['open', 'reconnecting', null, 'connection_expired'], ['reconnecting', 'open', 'resumed', null],
        ['open', 'closed', null, null],
      ],
    );
  });

  test(`${transport}: a lost connection resumes from the last event's cursor`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.onAny(events.push);
    stream.connect();
    const first = await server.nextOpened();
    first.event(eventOf(), 'epoch:11');
    first.event(eventOf(), 'epoch:12');
    await events.next();
    await events.next();
    first.end();
    assert.equal((await server.next()).query.get('cursor'), 'epoch:12');
  });

  test(`${transport}: a stream that opened and saw no event resumes from where it opened`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    const first = await server.nextOpened({ cursor: 'epoch:40' });
    await reach(states, 'open');
    first.end();
    assert.equal((await server.next()).query.get('cursor'), 'epoch:40');
  });

  test(`${transport}: a resumed stream that breaks before its first event does not skip what was missed`, async (t) => {
    const { server, stream, states } = await start(t, { cursor: 'epoch:5' });
    stream.connect();
    const first = await server.nextOpened({ outcome: 'resumed', cursor: 'epoch:90' });
    await reach(states, 'open');
    first.end();
    assert.equal((await server.next()).query.get('cursor'), 'epoch:5');
  });

  test(`${transport}: a heartbeat moves the cursor past events that were filtered out`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.onAny(events.push);
    stream.connect();
    const first = await server.nextOpened();
    first.heartbeat('epoch:70');
    first.event(eventOf({ category: 'streaming' }));
    await events.next();
    assert.equal(stream.cursor, 'epoch:70');
    first.end();
    assert.equal((await server.next()).query.get('cursor'), 'epoch:70');
  });

  test(`${transport}: a streaming event is delivered and moves no cursor`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.onCategory('streaming', events.push);
    stream.connect();
    (await server.nextOpened()).event(eventOf({ type: 'chat.token', category: 'streaming' }));
    assert.equal((await events.next()).type, 'chat.token');
    assert.equal(stream.cursor, 'epoch:10');
  });

  test(`${transport}: an event that comes twice is delivered once, also across a reconnect`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.onAny(events.push);
    stream.connect();
    const repeated = eventOf();
    const first = await server.nextOpened();
    first.event(repeated, 'epoch:11');
    first.event(repeated, 'epoch:11');
    await events.next();
    first.end();
    const second = await server.nextOpened({ outcome: 'resumed' });
    second.event(repeated, 'epoch:11');
    const last = eventOf();
    second.event(last, 'epoch:12');
    await events.next(({ id }) => id === last.id);
    assert.deepEqual(events.all.map(({ id }) => id), [repeated.id, last.id]);
    assert.equal(stream.getConnectionStats().duplicates, 2);
  });

  for (const reason of ['slow_consumer', 'server_stopping', 'connection_expired']) {
    test(`${transport}: after stream:close with ${reason} the stream resumes`, async (t) => {
      const { server, stream, states } = await start(t);
      stream.connect();
      const first = await server.nextOpened();
      first.control({ stream: 'close', reason });
      assert.equal((await reach(states, 'reconnecting')).reason, reason);
      await first.ended;
      assert.equal((await server.next()).query.get('cursor'), 'epoch:10');
    });
  }

  test(`${transport}: after stream:close with signed_out the stream is refused and does not come back`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    const first = await server.nextOpened();
    first.control({ stream: 'close', reason: 'signed_out' });
    const change = await reach(states, 'refused');
    assert.deepEqual([change.reason, change.detail], ['signed_out', { error: 'signed_out' }]);
    await first.ended;
    assert.equal(server.connections.length, 1);
  });

  for (const status of [400, 401, 403]) {
    test(`${transport}: a refusal with ${status} tells the server's detail and is not tried again`, async (t) => {
      const { server, stream, states } = await start(t, { types: ['!'] });
      stream.connect();
      (await server.next()).refuse(status, { error: 'invalid', field: 'types', detail: 'Not a type: !' });
      const change = await reach(states, 'refused');
      assert.equal(change.reason, 'invalid');
      const { error, field, detail, status: told } = change.detail;
      assert.deepEqual({ error, field, detail, told }, { error: 'invalid', field: 'types', detail: 'Not a type: !', told: status });
      assert.equal(stream.state, 'refused');
      assert.equal(states.all.filter(({ state }) => state === 'reconnecting').length, 0);
    });
  }

  test(`${transport}: a refused stream can be connected again`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    (await server.next()).refuse(401, { error: 'unauthenticated' });
    await reach(states, 'refused');
    stream.connect();
    await server.nextOpened();
    await reach(states, 'open');
  });

  test(`${transport}: a refusal for too many connections is tried again`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    (await server.next()).refuse(429, { error: 'too_many_connections' });
    assert.equal((await reach(states, 'reconnecting')).reason, 'too_many_connections');
    await server.nextOpened();
    await reach(states, 'open');
  });

  test(`${transport}: a cursor that the server cannot read is forgotten, and the page is told of a gap`, async (t) => {
    const { server, stream } = await start(t, { cursor: 'rubbish' });
    const gaps = new Queue();
    stream.onGap(gaps.push);
    stream.connect();
    (await server.next()).refuse(400, { error: 'invalid', field: 'cursor' });
    const second = await server.nextOpened({ outcome: 'fresh', cursor: 'epoch:3' });
    assert.equal(second.query.has('cursor'), false);
    assert.deepEqual(await gaps.next(), { previous: 'rubbish', cursor: 'epoch:3' });
  });

  test(`${transport}: a gap tells the page once the stream is open, and the stream goes on from the new cursor`, async (t) => {
    const { server, stream, states } = await start(t, { cursor: 'lost:5' });
    const gaps = new Queue();
    stream.onGap((gap) => gaps.push({ ...gap, state: stream.state }));
    stream.connect();
    await server.nextOpened({ outcome: 'gap', cursor: 'epoch:90' });
    assert.deepEqual(await gaps.next(), { previous: 'lost:5', cursor: 'epoch:90', state: 'open' });
    assert.equal((await reach(states, 'open')).outcome, 'gap');
    assert.equal(stream.getConnectionStats().gaps, 1);
  });

  test(`${transport}: a stream that falls silent is replaced`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    const first = await server.nextOpened({ heartbeat: 0.02 });
    assert.equal((await reach(states, 'reconnecting')).reason, 'silent');
    await first.ended;
    await server.nextOpened();
    await reach(states, 'open');
  });

  test(`${transport}: heartbeats keep a stream open longer than the silence that it bears`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    const connection = await server.nextOpened({ heartbeat: 0.2 });
    await reach(states, 'open');
    let beats = 0;
    await new Promise((resolve) => {
      const timer = setInterval(() => {
        connection.heartbeat();
        beats += 1;
        if (beats === 30) resolve(clearInterval(timer));
      }, 20);
    });
    assert.equal(stream.state, 'open');
    assert.equal(server.connections.length, 1);
  });

  test(`${transport}: a server that accepts and never opens the stream is left`, async (t) => {
    const { server, stream, states } = await start(t, { openWithin: 30 });
    stream.connect();
    const first = await server.next();
    assert.equal((await reach(states, 'reconnecting')).reason, 'silent');
    await first.ended;
  });

  test(`${transport}: a server that is gone is tried until it is back`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    await server.nextOpened();
    await reach(states, 'open');
    const { port } = server;
    await server.stop();
    await states.next(({ state, reason }) => state === 'reconnecting' && reason === 'network');
    await states.next(({ state, reason }) => state === 'reconnecting' && reason === 'network');
    const back = await WireServer.start(port);
    t.after(() => back.stop());
    await back.nextOpened({ outcome: 'resumed' });
    assert.equal((await reach(states, 'open')).outcome, 'resumed');
  });

  test(`${transport}: disconnect ends the connection, and connect resumes from the cursor`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    const first = await server.nextOpened();
    await reach(states, 'open');
    stream.disconnect();
    await first.ended;
    assert.equal(stream.state, 'closed');
    stream.connect();
    assert.equal((await server.next()).query.get('cursor'), 'epoch:10');
  });

  test(`${transport}: the stats tell at once that a stream ended, and why`, async (t) => {
    const { server, stream, states } = await start(t);
    const told = () => {
      const { openedAt, lastEnd, lastError } = stream.getConnectionStats();
      return { isOpen: openedAt !== null, lastEnd, lastError };
    };
    stream.connect();
    const first = await server.nextOpened();
    await reach(states, 'open');
    assert.deepEqual(told(), { isOpen: true, lastEnd: null, lastError: null });
    stream.onState(({ state }) => state === 'reconnecting' && states.push({ state: 'told', ...told() }));
    first.control({ stream: 'close', reason: 'server_stopping' });
    const { isOpen, lastEnd } = await reach(states, 'told');
    assert.deepEqual({ isOpen, lastEnd }, { isOpen: false, lastEnd: 'server_stopping' });
    await server.nextOpened({ outcome: 'resumed' });
    await reach(states, 'open');
    stream.disconnect();
    assert.deepEqual(told(), { isOpen: false, lastEnd: 'disconnected', lastError: null });
  });

  test(`${transport}: disconnect while nothing is connected leaves why the last connection ended`, async (t) => {
    const { server, stream, states } = await start(t, { retry: { base: 3_600_000, random: () => 1 } });
    stream.connect();
    (await server.nextOpened()).control({ stream: 'close', reason: 'server_stopping' });
    await reach(states, 'reconnecting');
    stream.disconnect();
    assert.equal(stream.getConnectionStats().lastEnd, 'server_stopping');
  });

  test(`${transport}: disconnect while it waits to reconnect ends the wait`, async (t) => {
    const { server, stream, states } = await start(t, { retry: { base: 3_600_000, cap: 3_600_000, random: () => 1 } });
    stream.connect();
    (await server.nextOpened()).end();
    assert.equal((await reach(states, 'reconnecting')).retryIn, 3_600_000);
    stream.disconnect();
    stream.connect();
    await server.nextOpened({ outcome: 'resumed' });
    await reach(states, 'open');
    assert.equal(server.connections.length, 2);
  });

  test(`${transport}: connect while connected opens no second stream`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    stream.connect();
    await server.nextOpened();
    await reach(states, 'open');
    stream.connect();
    assert.deepEqual(states.all.map(({ state }) => state), ['connecting', 'open']);
    assert.equal(server.connections.length, 1);
  });

  test(`${transport}: a connect and disconnect in one task make no request`, async (t) => {
    const { server, stream, states } = await start(t);
    stream.connect();
    stream.disconnect();
    stream.connect();
    await server.nextOpened();
    await reach(states, 'open');
    assert.equal(server.connections.length, 1);
  });

  test(`${transport}: after a callback disconnects, events that have arrived already are not delivered`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.onAny((event) => {
      events.push(event);
      stream.disconnect();
    });
    stream.connect();
    const connection = await server.nextOpened();
    connection.event(eventOf(), 'epoch:11');
    connection.event(eventOf(), 'epoch:12');
    await connection.ended;
    assert.equal(events.all.length, 1);
    assert.equal(stream.cursor, 'epoch:11');
  });

  test(`${transport}: a callback may reconnect, and one stream is left that delivers`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.on('please.reconnect', () => {
      stream.disconnect();
      stream.connect();
    });
    stream.onAny(events.push);
    stream.connect();
    const first = await server.nextOpened();
    first.event(eventOf({ type: 'please.reconnect' }), 'epoch:11');
    const second = await server.nextOpened({ outcome: 'resumed' });
    await first.ended;
    const last = eventOf();
    second.event(last, 'epoch:12');
    await events.next(({ id }) => id === last.id);
    assert.equal(server.connections.length, 2);
  });

  test(`${transport}: a frame that is no event is reported, and the stream goes on after it`, async (t) => {
    const errors = catchErrors(t);
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.onAny(events.push);
    stream.connect();
    const connection = await server.nextOpened();
    connection.malformed('epoch:11');
    connection.event({ type: 'without.id' }, 'epoch:12');
    connection.event(eventOf(), 'epoch:13');
    await events.next();
    assert.equal(stream.getConnectionStats().malformed, 2);
    assert.equal(errors.all.length, 2);
    assert.equal(stream.cursor, 'epoch:13');
  });

  test(`${transport}: a control frame of a later version is ignored`, async (t) => {
    const { server, stream } = await start(t);
    const events = new Queue();
    stream.onAny(events.push);
    stream.connect();
    const connection = await server.nextOpened();
    connection.control({ stream: 'later', hint: 1 });
    connection.event(eventOf(), 'epoch:11');
    await events.next();
    assert.equal(events.all.length, 1);
    assert.equal(stream.getConnectionStats().malformed, 0);
  });

  test(`${transport}: a stored cursor resumes after a page reload, and one that was given wins`, async (t) => {
    const kept = new Map();
    const storage = {
      getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key),
    };
    const { server, stream } = await start(t, { storage, storageKey: 'where' });
    const events = new Queue();
    stream.onAny(events.push);
    stream.connect();
    (await server.nextOpened()).event(eventOf(), 'epoch:11');
    await events.next();
    stream.disconnect();
    assert.equal(kept.get('where'), 'epoch:11');
    const options = { transport, storage, storageKey: 'where' };
    assert.equal(streamTo(t, server, options).cursor, 'epoch:11');
    assert.equal(streamTo(t, server, { ...options, cursor: 'epoch:12' }).cursor, 'epoch:12');
  });

  test(`${transport}: the connection's stats tell what it is doing and has done`, async (t) => {
    const { server, stream } = await start(t);
    assert.deepEqual(stream.getConnectionStats(), {
      state: 'idle', transport, url: null, cursor: null, failedAttempts: 0, listeners: 1, outcome: null, heartbeat: null,
      connections: 0, received: 0, duplicates: 0, malformed: 0, gaps: 0, callbackErrors: 0, openedAt: null,
      lastEventAt: null, lastEnd: null, lastError: null,
    });
    const events = new Queue();
    stream.onAny(events.push);
    stream.connect();
    (await server.nextOpened({ outcome: 'fresh', heartbeat: 15 })).event(eventOf(), 'epoch:11');
    await events.next();
    const { state, url, outcome, heartbeat, connections, received, listeners, openedAt, lastEventAt } = stream.getConnectionStats();
    assert.deepEqual(
      { state, url, outcome, heartbeat, connections, received, listeners },
      { state: 'open', url: server.url, outcome: 'fresh', heartbeat: 15, connections: 1, received: 1, listeners: 2 },
    );
    for (const time of [openedAt, lastEventAt]) assert.ok(Math.abs(Date.parse(time) - Date.now()) < 10_000);
  });
}
