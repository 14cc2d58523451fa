/** The spec's component, rendered by the real React against a real server. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { startPair, reach, statesOf } from './support/client.js';
import { eventOf, happeningOf } from './support/events.js';
import { Queue } from './support/queue.js';

const { window } = new JSDOM('<!doctype html><div id="root"></div>');
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
Object.defineProperty(globalThis, 'navigator', { value: window.navigator, configurable: true });
const { StrictMode, act, createElement, useEffect, useState } = await import('react');
const { createRoot } = await import('react-dom/client');
const { renderToString } = await import('react-dom/server');
const { SSEProvider, useSSE } = await import('../../static/events/sse-context.js');
const { EventStream, sseEventManager } = await import('../../static/events/client.js');

/** The component of the spec, with the calls that it makes told to the test. */
function componentOf({ log, showCriticalAlert }) {
  return function MyComponent() {
    const { on, onCategory, onHighPriority } = useSSE();

    useEffect(() => {
      log('subscribed');
      const unsubscribe1 = on('document.uploaded', (event) => log('Document uploaded:', event));
      const unsubscribe2 = onCategory('security', (event) => log('Security event:', event));
      const unsubscribe3 = onHighPriority((event) => showCriticalAlert(event));
      return () => {
        unsubscribe1();
        unsubscribe2();
        unsubscribe3();
      };
    }, [on, onCategory, onHighPriority]);
    return null;
  };
}

/** React's warnings are errors here. */
const complaints = [];
console.error = (...parts) => complaints.push(parts);
afterEach(async () => {
  await unmount();
  assert.deepEqual(complaints.splice(0), []);
});

/** Opens the next connection, and lets React render what follows from it. */
async function opened({ server, states }) {
  let connection;
  await act(async () => {
    connection = await server.nextOpened();
    await reach(states, 'open');
  });
  return connection;
}

let root = null;

/** Renders into the page, for the first time or again. */
async function render(element) {
  root ??= createRoot(document.getElementById('root'));
  await act(async () => root.render(element));
}

/** Takes what is rendered off the page. */
async function unmount() {
  await act(async () => root?.unmount());
  root = null;
}

const provided = (stream, ...children) => createElement(SSEProvider, { stream }, ...children);

test('the spec\'s component gets documents, security events and alerts, and each alert once', async (t) => {
  const { server, stream, states } = await startPair(t);
  const [logged, alerts] = [new Queue(), new Queue()];
  const MyComponent = componentOf({ log: (...parts) => logged.push(parts), showCriticalAlert: alerts.push });
  await render(provided(stream, createElement(MyComponent)));
  const connection = await opened({ server, states });
  const happening = happeningOf();
  const document = eventOf();
  for (const event of [...happening, document]) connection.event(event, 'epoch:11');
  await logged.next(([text]) => text === 'Document uploaded:');
  assert.deepEqual(logged.all, [['subscribed'], ['Security event:', happening[0]], ['Document uploaded:', document]]);
  assert.deepEqual(alerts.all, [happening[0]]);
});

test('under StrictMode, which runs effects twice, there is one request and each event counts once', async (t) => {
  const { server, stream, states } = await startPair(t);
  const logged = new Queue();
  const MyComponent = componentOf({ log: (...parts) => logged.push(parts), showCriticalAlert: () => {} });
  await render(createElement(StrictMode, null, provided(stream, createElement(MyComponent))));
  const connection = await opened({ server, states });
  connection.event(eventOf(), 'epoch:11');
  await logged.next(([text]) => text === 'Document uploaded:');
  const texts = logged.all.map(([text]) => text);
  assert.deepEqual(texts, ['subscribed', 'subscribed', 'Document uploaded:']);
  assert.equal(server.connections.length, 1);
  assert.equal(stream.getConnectionStats().connections, 1);
});

test('a component that unmounts unsubscribes, and the stream stays open', async (t) => {
  const { server, stream, states } = await startPair(t);
  const MyComponent = componentOf({ log: () => {}, showCriticalAlert: () => {} });
  const own = stream.getConnectionStats().listeners;
  await render(provided(stream, createElement(MyComponent)));
  await opened({ server, states });
  assert.ok(stream.getConnectionStats().listeners > own);
  await render(provided(stream));
  assert.equal(stream.getConnectionStats().listeners, own);
  assert.notEqual(stream.state, 'closed');
});

test('the provider disconnects when it unmounts', async (t) => {
  const { server, stream, states } = await startPair(t);
  await render(provided(stream));
  const connection = await opened({ server, states });
  await unmount();
  assert.equal(stream.state, 'closed');
  await connection.ended;
});

test('of two providers of one stream, the last that unmounts disconnects', async (t) => {
  const { server, stream, states } = await startPair(t);
  const both = (...keys) => createElement('div', null, ...keys.map((key) => createElement(SSEProvider, { stream, key })));
  await render(both('one', 'other'));
  const connection = await opened({ server, states });
  await render(both('other'));
  assert.equal(stream.state, 'open');
  await render(both());
  assert.equal(stream.state, 'closed');
  await connection.ended;
  await render(both('again'));
  await opened({ server, states });
  assert.equal(server.connections.length, 2);
});

test('a stream that the page had connected itself stays open when its provider unmounts', async (t) => {
  const { server, stream, states } = await startPair(t);
  stream.connect();
  await render(createElement(StrictMode, null, provided(stream)));
  await opened({ server, states });
  await unmount();
  assert.equal(stream.state, 'open');
  assert.equal(server.connections.length, 1);
});

test('the functions stay the same from render to render, so effects do not run again', async (t) => {
  const { server, stream, states } = await startPair(t);
  const seen = [];
  let renderAgain;
  function Watcher() {
    const sse = useSSE();
    renderAgain = useState(0)[1];
    seen.push(sse);
    return null;
  }
  await render(provided(stream, createElement(Watcher)));
  await opened({ server, states });
  await render(provided(stream, createElement(Watcher)));
  await act(async () => renderAgain(1));
  assert.ok(seen.length >= 4);
  const functions = Object.keys(seen[0]).filter((name) => typeof seen[0][name] === 'function');
  assert.ok(functions.length >= 14);
  for (const name of functions) assert.equal(new Set(seen.map((sse) => sse[name])).size, 1, name);
  assert.equal(seen.at(-1), seen.at(-2), 'without a change of state the whole object is the same');
});

test('the state renders the component again when it changes', async (t) => {
  const { server, stream, states } = await startPair(t);
  const State = () => createElement('p', null, useSSE().state);
  await render(provided(stream, createElement(State)));
  const text = () => document.querySelector('p').textContent;
  assert.equal(text(), 'connecting');
  const connection = await opened({ server, states });
  assert.equal(text(), 'open');
  await act(async () => {
    connection.control({ stream: 'close', reason: 'signed_out' });
    await reach(states, 'refused');
  });
  assert.equal(text(), 'refused');
});

test('another stream replaces the one before it', async (t) => {
  const [one, other] = [await startPair(t), await startPair(t)];
  await render(provided(one.stream));
  await opened(one);
  await render(provided(other.stream));
  assert.equal(one.stream.state, 'closed');
  await opened(other);
});

test('with options the provider makes one stream of its own, whatever object they are in at the next render', async (t) => {
  const { server } = await startPair(t);
  const withOptions = () => createElement(SSEProvider, { options: { url: server.url, types: ['a.b'] } });
  await render(withOptions());
  const connection = await server.nextOpened();
  await render(withOptions());
  assert.equal(connection.query.get('types'), 'a.b');
  assert.equal(server.connections.length, 1);
});

test('without stream and options the provider opens the page\'s shared sseEventManager', async (t) => {
  const { server } = await startPair(t);
  globalThis.location = { href: server.url };
  t.after(() => delete globalThis.location);
  const states = statesOf(sseEventManager);
  await render(createElement(SSEProvider));
  const connection = await opened({ server, states });
  assert.equal(connection.request.url, '/events/stream');
  assert.equal(sseEventManager.getConnectionStats().state, 'open');
  await unmount();
  assert.equal(sseEventManager.getConnectionStats().state, 'closed');
});

test('on a server that renders the page the state is idle and nothing connects', () => {
  const stream = new EventStream({ url: 'http://127.0.0.1:9/' });
  const State = () => createElement('p', null, useSSE().state);
  assert.equal(renderToString(provided(stream, createElement(State))), '<p>idle</p>');
  assert.equal(stream.state, 'idle');
});

test('useSSE outside of a provider says what is missing', () => {
  const Lost = () => useSSE() && null;
  assert.throws(() => renderToString(createElement(Lost)), /SSEProvider/);
});
