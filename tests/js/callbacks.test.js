import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventStream, sseEventManager } from '../../static/events/client.js';
import { catchErrors, startPair } from './support/client.js';
import { eventOf, happeningOf } from './support/events.js';
import { Queue } from './support/queue.js';

/** An opened stream, and a way to send it events and know that all were taken. */
async function startOpened(t, options) {
  const { server, stream } = await startPair(t, options);
  stream.connect();
  const connection = await server.nextOpened();
  const taken = new Queue();
  stream.onAny(taken.push);
  let position = 10;
  const send = async (...events) => {
    for (const event of events) connection.event(event, `epoch:${++position}`);
    const last = eventOf({ type: 'test.end', category: 'monitoring' });
    connection.event(last, `epoch:${++position}`);
    await taken.next(({ id }) => id === last.id);
  };
  return { stream, send };
}

function collect(subscribe) {
  const seen = [];
  const unsubscribe = subscribe((event) => seen.push(event));
  return { seen, unsubscribe, ids: () => seen.map(({ id }) => id) };
}

/** The kinds of subscription, each with an event that it wants. */
const KINDS = {
  on: { subscribe: (stream, callback) => stream.on('document.*', callback), off: (stream, callback) => stream.off('document.*', callback) },
  onCategory: {
    subscribe: (stream, callback) => stream.onCategory('realtime', callback),
    off: (stream, callback) => stream.offCategory('realtime', callback),
  },
  onHighPriority: {
    subscribe: (stream, callback) => stream.onHighPriority(callback), off: (stream, callback) => stream.offHighPriority(callback),
  },
  onAny: { subscribe: (stream, callback) => stream.onAny(callback), off: (stream, callback) => stream.offAny(callback) },
};
const wanted = () => eventOf({ priority: 'high' });
const countOf = (calls) => calls.filter((event) => event.type !== 'test.end').length;

for (const [name, { subscribe, off }] of Object.entries(KINDS)) {
  test(`${name}: the function that it returns unsubscribes, and may be called again`, async (t) => {
    const { stream, send } = await startOpened(t);
    const calls = [];
    const others = [];
    const unsubscribe = subscribe(stream, (event) => calls.push(event));
    subscribe(stream, (event) => others.push(event));
    await send(wanted());
    unsubscribe();
    unsubscribe();
    await send(wanted());
    assert.deepEqual([countOf(calls), countOf(others)], [1, 2]);
  });

  test(`${name}: its off removes the callback, and one that was never added changes nothing`, async (t) => {
    const { stream, send } = await startOpened(t);
    const calls = [];
    const callback = (event) => calls.push(event);
    subscribe(stream, callback);
    off(stream, () => {});
    await send(wanted());
    off(stream, callback);
    off(stream, callback);
    await send(wanted());
    assert.equal(countOf(calls), 1);
  });

  test(`${name}: two components that share a callback unsubscribe each their own`, async (t) => {
    const { stream, send } = await startOpened(t);
    const calls = [];
    const callback = (event) => calls.push(event);
    const unsubscribe = subscribe(stream, callback);
    subscribe(stream, callback);
    unsubscribe();
    unsubscribe();
    await send(wanted());
    assert.equal(countOf(calls), 1);
  });

  test(`${name}: a callback that throws or rejects is reported and stops neither the others nor the stream`, async (t) => {
    const errors = catchErrors(t);
    const { stream, send } = await startOpened(t);
    const calls = [];
    const [thrown, rejected] = [new Error('thrown'), new Error('rejected')];
    subscribe(stream, (event) => {
      if (event.type !== 'test.end') throw thrown;
    });
    subscribe(stream, async (event) => {
      if (event.type !== 'test.end') throw rejected;
    });
    subscribe(stream, (event) => calls.push(event));
    await send(wanted());
    await send(wanted());
    assert.equal(countOf(calls), 2);
    assert.deepEqual(errors.all.map(([, error]) => error), [thrown, rejected, thrown, rejected]);
    assert.equal(stream.getConnectionStats().callbackErrors, 4);
    assert.equal(stream.getConnectionStats().connections, 1);
  });

  test(`${name}: a callback that an earlier callback unsubscribes is not called any more`, async (t) => {
    const { stream, send } = await startOpened(t);
    const calls = [];
    let unsubscribe = () => {};
    subscribe(stream, () => unsubscribe());
    unsubscribe = subscribe(stream, (event) => calls.push(event));
    await send(wanted());
    assert.equal(countOf(calls), 0);
  });

  test(`${name}: a callback that is no function is refused at once`, () => {
    assert.throws(() => subscribe(new EventStream(), 'callback'), TypeError);
  });
}

test('callbacks are called in the order they were added', async (t) => {
  const { stream, send } = await startOpened(t);
  const order = [];
  for (const name of ['first', 'second', 'third']) stream.on('document.uploaded', () => order.push(name));
  await send(eventOf());
  assert.deepEqual(order, ['first', 'second', 'third']);
});

test('a pattern gets the types that it matches and no others', async (t) => {
  const { stream, send } = await startOpened(t);
  const failed = collect((callback) => stream.on('*.failed', callback));
  await send(eventOf({ type: 'document.failed' }), eventOf({ type: 'document.uploaded' }), eventOf({ type: 'model.failed' }));
  assert.deepEqual(failed.seen.map(({ type }) => type), ['document.failed', 'model.failed']);
});

test('a high priority is high or critical', async (t) => {
  const { stream, send } = await startOpened(t);
  const urgent = collect((callback) => stream.onHighPriority(callback));
  await send(...['low', 'normal', 'high', 'critical'].map((priority) => eventOf({ priority })));
  assert.deepEqual(urgent.seen.map(({ priority }) => priority), ['high', 'critical']);
});

test('a category that does not exist is refused at once', () => {
  assert.throws(() => new EventStream().onCategory('securty', () => {}), /no category "securty"/);
});

test('state callbacks unsubscribe and are isolated as all others', async (t) => {
  catchErrors(t);
  const { stream } = await startPair(t);
  const [kept, left, removed] = [[], [], []];
  const remove = (change) => removed.push(change);
  stream.onState(() => { throw new Error('thrown'); });
  stream.onState(({ state }) => kept.push(state));
  const leave = stream.onState(({ state }) => left.push(state));
  stream.onState(remove);
  leave();
  stream.offState(remove);
  stream.connect();
  stream.disconnect();
  assert.deepEqual([kept, left, removed], [['connecting', 'closed'], [], []]);
});

/** In whatever order the original and its derived copies come. */
const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

for (const order of ORDERS) {
  test(`a happening that comes as ${order.map((n) => ['original', 'audit', 'realtime'][n]).join(', ')} counts once`, async (t) => {
    const shown = useNotifications(t);
    const { stream, send } = await startOpened(t);
    const happening = happeningOf();
    const byType = collect((callback) => stream.on('suspicious.*', callback));
    const urgent = collect((callback) => stream.onHighPriority(callback));
    const any = collect((callback) => stream.on('*', callback));
    const all = collect((callback) => stream.onAny(callback));
    const security = collect((callback) => stream.onCategory('security', callback));
    const audit = collect((callback) => stream.onCategory('audit', callback));
    const arriving = order.map((n) => happening[n]);
    await send(...arriving);
    assert.deepEqual(byType.ids(), [arriving[0].id]);
    assert.deepEqual(urgent.ids(), [arriving[0].id]);
    assert.equal(any.seen.filter(({ type }) => type !== 'test.end').length, 1);
    assert.deepEqual(all.ids().slice(0, 3), arriving.map(({ id }) => id));
    assert.deepEqual([security.ids(), audit.ids()], [[happening[0].id], [happening[1].id]]);
    assert.deepEqual(shown.map(({ options }) => options.tag), [happening[0].id]);
  });
}

test('a derived event of another type is news for its type, and no second alarm', async (t) => {
  const { stream, send } = await startOpened(t);
  const original = eventOf({ type: 'auth.login_failure', category: 'security', priority: 'high' });
  const derived = eventOf({ type: 'alert.raised', priority: 'high', metadata: { derived_from: original.id } });
  const alerts = collect((callback) => stream.on('alert.*', callback));
  const urgent = collect((callback) => stream.onHighPriority(callback));
  await send(original, derived);
  assert.deepEqual([alerts.ids(), urgent.ids()], [[derived.id], [original.id]]);
});

test('a copy of lower priority that comes first does not swallow the alarm', async (t) => {
  const { stream, send } = await startOpened(t);
  const original = eventOf({ category: 'security', priority: 'critical' });
  const copy = eventOf({ category: 'audit', priority: 'normal', metadata: { derived_from: original.id } });
  const urgent = collect((callback) => stream.onHighPriority(callback));
  await send(copy, original);
  assert.deepEqual(urgent.ids(), [original.id]);
});

test('two happenings of one type count twice', async (t) => {
  const { stream, send } = await startOpened(t);
  const urgent = collect((callback) => stream.onHighPriority(callback));
  await send(...happeningOf(), ...happeningOf());
  assert.equal(urgent.seen.length, 2);
});

test('the memory for duplicates is bounded: an event that is older than it remembers is delivered again', async (t) => {
  const { stream, send } = await startOpened(t, { remember: 3 });
  const events = collect((callback) => stream.on('document.uploaded', callback));
  const old = eventOf();
  await send(old, old, eventOf(), eventOf(), eventOf(), old);
  assert.equal(events.ids().filter((id) => id === old.id).length, 2);
});

test('a notification says the title and message of the data, or the type, and carries its happening as tag', async (t) => {
  const shown = useNotifications(t);
  const { send } = await startOpened(t);
  const metadata = { notification: true };
  const told = eventOf({ metadata, data: { title: 'Brute force', message: '10 attempts' } });
  const bare = eventOf({ metadata, type: 'system.down' });
  await send(told, bare, eventOf());
  assert.deepEqual(shown, [
    { title: 'Brute force', options: { tag: told.id, body: '10 attempts' } },
    { title: 'system.down', options: { tag: bare.id, body: '' } },
  ]);
});

for (const title of [{ en: 'Full' }, ['Full'], 7, null, '', '  ']) {
  test(`a notification's title is the type where the data has ${JSON.stringify(title)}`, async (t) => {
    const shown = useNotifications(t);
    const { send } = await startOpened(t);
    await send(eventOf({ metadata: { notification: true }, type: 'disk.full', data: { title, message: { en: 'Full' } } }));
    assert.deepEqual(shown.map((one) => [one.title, one.options.body]), [['disk.full', '']]);
  });
}

test('a happening of which two copies ask for a notification shows the first', async (t) => {
  const shown = useNotifications(t);
  const { send } = await startOpened(t);
  const original = eventOf({ metadata: { notification: true }, data: { title: 'original' } });
  await send(original, eventOf({ metadata: { notification: true, derived_from: original.id }, data: { title: 'copy' } }));
  assert.deepEqual(shown.map(({ title }) => title), ['original']);
});

test('two tabs show a happening under one tag, so that the browser shows it once', async (t) => {
  const shown = useNotifications(t);
  const [one, other] = [await startOpened(t), await startOpened(t)];
  const happening = happeningOf();
  await one.send(...happening);
  await other.send(...happening);
  assert.deepEqual(new Set(shown.map(({ options }) => options.tag)), new Set([happening[0].id]));
});

test('the page may say what a notification says', async (t) => {
  const shown = useNotifications(t);
  const { send } = await startOpened(t, { describeNotification: ({ type }) => ({ title: `!${type}`, icon: '/i.png' }) });
  const event = eventOf({ metadata: { notification: true } });
  await send(event);
  assert.deepEqual(shown, [{ title: '!document.uploaded', options: { tag: event.id, icon: '/i.png' } }]);
});

for (const permission of ['default', 'denied']) {
  test(`with permission ${permission} no notification is shown`, async (t) => {
    const shown = useNotifications(t, { permission });
    const { send } = await startOpened(t);
    await send(...happeningOf());
    assert.deepEqual(shown, []);
  });
}

test('with notify off no notification is shown', async (t) => {
  const shown = useNotifications(t);
  const { send } = await startOpened(t, { notify: false });
  await send(...happeningOf());
  assert.deepEqual(shown, []);
});

test('a browser whose Notification throws is reported, and the stream goes on', async (t) => {
  const errors = catchErrors(t);
  useNotifications(t, { throws: true });
  const { send } = await startOpened(t);
  await send(...happeningOf());
  assert.match(errors.all[0][0], /notification could not be shown/);
});

test('permission is asked for only while the user has not decided', async (t) => {
  const stream = new EventStream();
  assert.equal(await stream.requestNotificationPermission(), 'unsupported');
  useNotifications(t, { permission: 'denied' });
  assert.equal(await stream.requestNotificationPermission(), 'denied');
  useNotifications(t, { permission: 'default' });
  assert.equal(await stream.requestNotificationPermission(), 'granted');
});

test('sseEventManager is one stream for the page, made at its first use', () => {
  assert.equal(sseEventManager.getConnectionStats().state, 'idle');
  assert.ok(sseEventManager instanceof EventStream);
  const { on } = sseEventManager;
  const unsubscribe = on('document.*', () => {});
  assert.equal(sseEventManager.getConnectionStats().listeners, 1);
  unsubscribe();
  assert.equal(sseEventManager.getConnectionStats().listeners, 0);
});

/** Stands for the browser's Notification, which Node has not. Gives what is shown. */
function useNotifications(t, { permission = 'granted', throws = false } = {}) {
  const shown = [];
  globalThis.Notification = class {
    static permission = permission;
    static requestPermission = async () => 'granted';
    constructor(title, options) {
      if (throws) throw new TypeError('Illegal constructor');
      shown.push({ title, options });
    }
  };
  t.after(() => delete globalThis.Notification);
  return shown;
}
