import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JSDOM } from 'jsdom';
import { reach, startPair } from './support/client.js';

/** A wait that only the page's events can end. */
const ENDLESS = { retry: { base: 3_600_000, cap: 3_600_000, random: () => 1 } };

/** Call it after the stream is made: what ends with the test ends in that order. */
function usePage(t) {
  const { window } = new JSDOM('', { pretendToBeVisual: true });
  globalThis.window = window;
  t.after(() => {
    delete globalThis.window;
    window.close();
  });
  return window;
}

async function startWaiting(t, refuse = (connection) => connection.refuse(500)) {
  const pair = await startPair(t, ENDLESS);
  const window = usePage(t);
  pair.stream.connect();
  refuse(await pair.server.next());
  await reach(pair.states, 'reconnecting');
  return { window, ...pair };
}

for (const transport of ['sse', 'websocket']) {
  test(`${transport}: going offline drops the connection, and coming back online reconnects at once`, async (t) => {
    const { server, stream, states } = await startPair(t, { transport, ...ENDLESS });
    const window = usePage(t);
    stream.connect();
    const first = await server.nextOpened();
    await reach(states, 'open');
    window.dispatchEvent(new window.Event('offline'));
    assert.equal((await reach(states, 'reconnecting')).reason, 'offline');
    await first.ended;
    window.dispatchEvent(new window.Event('online'));
    await server.nextOpened({ outcome: 'resumed' });
    await reach(states, 'open');
  });
}

for (const transport of ['sse', 'websocket']) {
  test(`${transport}: what fails while the device is offline is told as offline`, async (t) => {
    const { server, stream, states } = await startPair(t, { transport });
    await server.stop();
    Object.defineProperty(globalThis, 'navigator', { value: { onLine: false }, configurable: true });
    t.after(() => delete globalThis.navigator);
    stream.connect();
    assert.equal((await reach(states, 'reconnecting')).reason, 'offline');
    globalThis.navigator.onLine = true;
    await states.next(({ state, reason }) => state === 'reconnecting' && reason === 'network');
  });
}

test('a page that is looked at again reconnects at once', async (t) => {
  const { window, server, states } = await startWaiting(t);
  window.document.dispatchEvent(new window.Event('visibilitychange'));
  await server.nextOpened();
  await reach(states, 'open');
});

test('a page that is hidden does not hurry', async (t) => {
  let calls = 0;
  const counted = (...call) => {
    calls += 1;
    return fetch(...call);
  };
  const { server, stream, states } = await startPair(t, { ...ENDLESS, fetch: counted });
  const window = usePage(t);
  stream.connect();
  (await server.next()).refuse(500);
  await reach(states, 'reconnecting');
  Object.defineProperty(window.document, 'visibilityState', { value: 'hidden' });
  window.document.dispatchEvent(new window.Event('visibilitychange'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(calls, 1);
});

test('coming back online does not cut short what the server asked to wait', async (t) => {
  const { window, server, states } = await startWaiting(t, (connection) => connection.refuse(503, {}, { 'Retry-After': '1' }));
  const asked = performance.now();
  const timer = setInterval(() => window.dispatchEvent(new window.Event('online')), 10);
  t.after(() => clearInterval(timer));
  await server.nextOpened();
  assert.ok(performance.now() - asked >= 900);
  await reach(states, 'open');
});

for (const end of ['closed', 'refused']) {
  test(`a ${end} stream listens to the page no longer`, async (t) => {
    const { server, stream, states } = await startPair(t);
    const window = usePage(t);
    const listening = countListeners(window);
    stream.connect();
    assert.equal(listening.size, 3);
    const connection = await server.next();
    if (end === 'closed') stream.disconnect();
    else connection.refuse(401);
    await reach(states, end);
    assert.equal(listening.size, 0);
  });
}

/** The listeners that the window and its document have from now on. */
function countListeners(window) {
  const listening = new Set();
  for (const target of [window, window.document]) {
    const { addEventListener, removeEventListener } = target;
    target.addEventListener = (name, callback) => {
      listening.add(`${name} ${callback}`);
      addEventListener.call(target, name, callback);
    };
    target.removeEventListener = (name, callback) => {
      listening.delete(`${name} ${callback}`);
      removeEventListener.call(target, name, callback);
    };
  }
  return listening;
}
