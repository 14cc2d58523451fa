import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, pause, retryAfterOf } from '../../static/events/backoff.js';
import { CursorStore } from '../../static/events/cursor-store.js';
import { matcherOf } from '../../static/events/listeners.js';
import { RecentKeys } from '../../static/events/recent-keys.js';
import { catchErrors } from './support/client.js';

test('a wait is random between 0 and base times two to the attempt, up to the cap', () => {
  const longest = new Backoff({ base: 100, cap: 1_500, random: () => 1 });
  assert.deepEqual(Array.from({ length: 6 }, () => longest.next()), [100, 200, 400, 800, 1_500, 1_500]);
  const shortest = new Backoff({ base: 100, cap: 1_500, random: () => 0 });
  assert.deepEqual(Array.from({ length: 6 }, () => shortest.next()), [0, 0, 0, 0, 0, 0]);
});

test('with real randomness every wait is within its bounds and waits differ', () => {
  const waits = Array.from({ length: 500 }, () => new Backoff({ base: 1_000 }).next());
  assert.ok(waits.every((wait) => wait >= 0 && wait < 1_000));
  assert.ok(new Set(waits).size > 400);
});

test('after thousands of attempts a wait is still the cap', () => {
  const backoff = new Backoff({ base: 100, cap: 1_500, random: () => 1 });
  for (let n = 0; n < 5_000; n += 1) backoff.next();
  assert.equal(backoff.next(), 1_500);
});

test('waits start small again after a stream that stayed open, and not after one that closed at once', () => {
  let now = 0;
  const backoff = new Backoff({ base: 100, cap: 10_000, stableAfter: 5_000, random: () => 1, now: () => now });
  backoff.next();
  backoff.opened();
  now += 4_999;
  assert.equal(backoff.next(), 200);
  backoff.opened();
  now += 5_000;
  assert.equal(backoff.next(), 100);
});

test('an open counts once: failures after it do not start small again', () => {
  let now = 0;
  const backoff = new Backoff({ base: 100, cap: 10_000, stableAfter: 10, random: () => 1, now: () => now });
  backoff.opened();
  now += 10;
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [100, 200, 400]);
});

test('failed attempts are those since a stream stayed open, also while it is still open', () => {
  let now = 0;
  const backoff = new Backoff({ stableAfter: 10, now: () => now });
  backoff.next();
  backoff.next();
  backoff.opened();
  now += 9;
  assert.equal(backoff.attempt, 2);
  now += 1;
  assert.equal(backoff.attempt, 0);
});

test('a stream that was closed does not stay open while nobody connects', () => {
  let now = 0;
  const backoff = new Backoff({ base: 100, stableAfter: 10, random: () => 1, now: () => now });
  backoff.next();
  backoff.opened();
  now += 1;
  backoff.closed();
  now += 1_000;
  assert.equal(backoff.next(), 200);
});

test('Retry-After is read as seconds or as a date, and never waits longer than an hour', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  assert.equal(retryAfterOf('7', now), 7_000);
  assert.equal(retryAfterOf('Sat, 31 Jan 2026 12:00:30 GMT', now), 30_000);
  assert.equal(retryAfterOf('Sat, 31 Jan 2026 11:00:00 GMT', now), 0);
  assert.equal(retryAfterOf('99999999999', now), 3_600_000);
  assert.equal(retryAfterOf('soon', now), 0);
  assert.equal(retryAfterOf(null, now), 0);
});

test('a pause ends with its signal, and one whose signal has ended does not start', async () => {
  const controller = new AbortController();
  const paused = pause(3_600_000, controller.signal);
  controller.abort();
  await paused;
  await pause(3_600_000, controller.signal);
});

test('recent keys forget the key that was seen longest ago', () => {
  const keys = new RecentKeys(2);
  assert.deepEqual(['a', 'b', 'a', 'c', 'a', 'b'].map((key) => keys.add(key)), [true, true, false, true, false, true]);
});

test('a star in a pattern matches any run of characters and everything else matches itself', () => {
  const cases = [
    ['*', 'document.uploaded', true], ['*', '', true],
    ['document.*', 'document.uploaded', true], ['document.*', 'document.processing.done', true], ['document.*', 'document', false],
    ['*.failed', 'document.failed', true], ['*.failed', 'document.failed.again', false],
    ['a.*.c', 'a.b.c', true], ['a.*.c', 'a..c', true], ['a.*.c', 'a.c', false],
    ['document.uploaded', 'documentXuploaded', false], ['a+*', 'a+b', true], ['a+*', 'aab', false],
  ];
  for (const [pattern, type, wanted] of cases) assert.equal(matcherOf(pattern)(type), wanted, `${pattern} and ${type}`);
});

test('a storage that refuses is reported once and then left alone', (t) => {
  const errors = catchErrors(t);
  const store = new CursorStore({ getItem: () => { throw new Error('denied'); } }, 'key');
  assert.equal(store.read(), null);
  store.write('a:1');
  assert.equal(errors.all.length, 1);
});
