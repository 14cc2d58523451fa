/**
 * The browser's end of the event stream. `docs/wire.md` is what it speaks; `client.d.ts` has the types.
 *
 * One data flow: a transport gives frames, `#take` sorts them, `Delivery` calls the page's callbacks, and whatever ends a
 * connection is a `StreamEnd` that says whether to come back.
 */
import { Attempt, StreamEnd } from './attempt.js';
import { Backoff, pause } from './backoff.js';
import { CursorStore } from './cursor-store.js';
import { Delivery } from './delivery.js';
import { lazily } from './lazily.js';
import { Listeners } from './listeners.js';
import { requestPermission } from './notifier.js';
import { TRANSPORTS, addressOf, checkCategory, headersOf, withDefaults } from './options.js';
import { isOffline, watchPage } from './page.js';

/** A stream that is silent for this many heartbeats is dead. */
const PATIENCE = 2.5;
const DEFAULT_HEARTBEAT = 30;

/** One stream of events, kept open until `disconnect()` or until the server refuses it. */
export class EventStream {
  #options;
  #listeners = new Listeners((error) => this.#callbackFailed(error));
  #delivery;
  #backoff;
  #store;
  #base = null;
  #cursor;
  #lostCursor = null;
  #run = null;
  #attempt = null;
  #unwatchPage = () => {};
  #endPause = () => {};
  #state = 'idle';
  #stats = {
    outcome: null, heartbeat: null, connections: 0, received: 0, duplicates: 0, malformed: 0, gaps: 0,
    callbackErrors: 0, openedAt: null, lastEventAt: null, lastEnd: null, lastError: null,
  };

  /** @param {object} [options] see `EventStreamOptions` in `client.d.ts` */
  constructor(options = {}) {
    this.#options = withDefaults(options);
    const { cursor, storage, storageKey, retry } = this.#options;
    this.#delivery = new Delivery(this.#listeners, this.#options);
    this.#backoff = new Backoff(retry);
    this.#store = new CursorStore(storage, storageKey);
    this.#cursor = cursor ?? this.#store.read();
  }

  /** `idle`, `connecting`, `open`, `reconnecting`, `closed` or `refused`. */
  get state() {
    return this.#state;
  }

  /** Where the client is, `epoch:position`; null before the first stream opened. */
  get cursor() {
    return this.#cursor;
  }

  /** Opens the stream and keeps it open. Does nothing while it is kept open already. */
  connect() {
    if (this.#run) return;
    const { url, transport } = this.#options;
    this.#base = new URL(url ?? TRANSPORTS[transport].url, globalThis.location?.href);
    this.#run = new AbortController();
    this.#unwatchPage = watchPage({
      onOffline: () => this.#attempt?.end(new StreamEnd('offline')),
      onReturn: () => this.#endPause(),
    });
    this.#keepOpen(this.#run.signal);
  }

  /** Closes the stream. `connect()` opens it again and resumes from the cursor. */
  disconnect() {
    if (this.#attempt) this.#ended(new StreamEnd('disconnected'));
    if (this.#run || this.#state === 'refused') this.#stop('closed');
  }

  /** Calls back once for each happening whose type matches: a derived event of the same type does not call again. */
  on(pattern, callback) {
    return this.#listeners.add('type', pattern, callback);
  }

  off(pattern, callback) {
    this.#listeners.remove('type', pattern, callback);
  }

  /** Calls back for each event of a category. */
  onCategory(category, callback) {
    checkCategory(category);
    return this.#listeners.add('category', category, callback);
  }

  offCategory(category, callback) {
    this.#listeners.remove('category', category, callback);
  }

  /** Calls back once for each happening of high or critical priority. */
  onHighPriority(callback) {
    return this.#listeners.add('urgent', '*', callback);
  }

  offHighPriority(callback) {
    this.#listeners.remove('urgent', '*', callback);
  }

  /** Calls back for each event, derived events too. */
  onAny(callback) {
    return this.#listeners.add('any', '*', callback);
  }

  offAny(callback) {
    this.#listeners.remove('any', '*', callback);
  }

  /** Calls back when the connection's state changes, and for each new wait while it reconnects. */
  onState(callback) {
    return this.#listeners.add('state', '*', callback);
  }

  offState(callback) {
    this.#listeners.remove('state', '*', callback);
  }

  /** Calls back when events may be missing: the page should load again what it shows. */
  onGap(callback) {
    return this.#listeners.add('gap', '*', callback);
  }

  offGap(callback) {
    this.#listeners.remove('gap', '*', callback);
  }

  /** What the connection is doing and has done. Times are ISO 8601 strings, `heartbeat` is in seconds. */
  getConnectionStats() {
    const { transport } = this.#options;
    return {
      state: this.#state, transport, url: this.#base?.href ?? null, cursor: this.#cursor,
      failedAttempts: this.#backoff.attempt, listeners: this.#listeners.size, ...this.#stats,
    };
  }

  /** Asks the user for permission to show notifications. Call it from a click. */
  requestNotificationPermission() {
    return requestPermission();
  }

  async #keepOpen(signal) {
    this.#setState('connecting');
    // Lets a disconnect() in the same task (React's StrictMode) pass without a request.
    await null;
    while (!signal.aborted) {
      const end = await this.#connectOnce(signal);
      if (signal.aborted) return;
      this.#ended(end);
      if (this.#isLostCursor(end)) this.#forgetCursor();
      else if (end.final) return this.#stop('refused', end);
      await this.#waitToRetry(end, signal);
    }
  }

  /** One connection. Gives what ended it, and never throws. */
  async #connectOnce(signal) {
    const attempt = new Attempt(this.#options.openWithin);
    const abandon = () => attempt.end(new StreamEnd('disconnected'));
    signal.addEventListener('abort', abandon);
    this.#attempt = attempt;
    try {
      for await (const frame of this.#frames(attempt)) {
        if (attempt.signal.aborted) break;
        this.#take(frame, attempt);
      }
      attempt.end(new StreamEnd('ended'));
    } catch (error) {
      attempt.end(error instanceof StreamEnd ? error : new StreamEnd('network', { cause: error }));
    }
    signal.removeEventListener('abort', abandon);
    const { reason: end } = attempt.signal;
    return end.reason === 'network' && isOffline() ? new StreamEnd('offline', end) : end;
  }

  #ended({ reason, cause }) {
    this.#attempt = null;
    this.#backoff.closed();
    Object.assign(this.#stats, { openedAt: null, lastEnd: reason, lastError: cause ? String(cause) : null });
  }

  async *#frames(attempt) {
    const { transport, headers, fetch, WebSocket } = this.#options;
    yield* TRANSPORTS[transport].frames({
      url: addressOf(this.#base, this.#options, this.#cursor), fetch, WebSocket,
      headers: await headersOf(headers),
      signal: attempt.signal, alive: () => attempt.alive(),
    });
  }

  /** The cursor moves after the callbacks ran: what a crash or a reload interrupts is sent again. */
  #take({ control, event, malformed, cursor }, attempt) {
    if (control) this.#takeControl(control, attempt);
    else if (malformed || (event && !isEvent(event))) this.#skip(malformed ?? event);
    else if (event) this.#deliver(event);
    this.#moveCursor(cursor);
  }

  #takeControl(control, attempt) {
    if (control.stream === 'open') this.#opened(control, attempt);
    else if (control.stream === 'heartbeat') this.#moveCursor(control.cursor);
    else if (control.stream === 'close') {
      throw new StreamEnd(control.reason, { final: control.reason === 'signed_out', detail: { error: control.reason } });
    }
  }

  #opened({ outcome, cursor, heartbeat }, attempt) {
    const previous = this.#lostCursor ?? this.#cursor;
    const told = this.#lostCursor ? 'gap' : outcome;
    attempt.expectEvery((heartbeat || DEFAULT_HEARTBEAT) * 1_000 * PATIENCE);
    this.#backoff.opened();
    this.#lostCursor = null;
    // After `resumed` what was missed is still to come: only its events move the cursor.
    if (outcome !== 'resumed') this.#moveCursor(cursor);
    Object.assign(this.#stats, { outcome: told, heartbeat, openedAt: isoNow() });
    this.#stats.connections += 1;
    this.#setState('open', { outcome: told });
    if (told === 'gap') this.#reportGap(previous);
  }

  #reportGap(previous) {
    this.#stats.gaps += 1;
    this.#listeners.emit('gap', '', { previous, cursor: this.#cursor });
  }

  #deliver(event) {
    this.#stats.received += 1;
    this.#stats.lastEventAt = isoNow();
    if (!this.#delivery.deliver(event)) this.#stats.duplicates += 1;
  }

  #skip(problem) {
    this.#stats.malformed += 1;
    console.error('The stream sent a frame that is no event.', problem);
  }

  #moveCursor(cursor) {
    if (!cursor || cursor === this.#cursor) return;
    this.#cursor = cursor;
    this.#store.write(cursor);
  }

  /** A stored cursor that the server cannot read would be refused for ever. */
  #isLostCursor({ detail }) {
    return detail?.status === 400 && detail.field === 'cursor' && this.#cursor !== null;
  }

  #forgetCursor() {
    this.#lostCursor = this.#cursor;
    this.#cursor = null;
    this.#store.write(null);
  }

  /** Waits as long as the server asked, whatever the page does, and then a random while that the page can cut short. */
  async #waitToRetry({ reason, detail, retryAfter }, signal) {
    const jitter = this.#backoff.next();
    this.#setState('reconnecting', { reason, detail, retryIn: retryAfter + jitter });
    if (retryAfter > 0) await pause(retryAfter, signal);
    await pause(jitter, signal, (done) => (this.#endPause = done));
  }

  #stop(state, change) {
    this.#run?.abort();
    this.#run = null;
    this.#unwatchPage();
    this.#setState(state, change);
  }

  #setState(state, { outcome = null, reason = null, detail = null, retryIn = null } = {}) {
    const previous = this.#state;
    this.#state = state;
    this.#listeners.emit('state', '', { state, previous, outcome, reason, detail, retryIn });
  }

  #callbackFailed(error) {
    this.#stats.callbackErrors += 1;
    console.error('A callback of the event stream failed.', error);
  }
}

/** The page's shared stream: made when it is first used, with default options. `SSEProvider` uses it by default. */
export const sseEventManager = lazily(EventStream);

function isEvent({ id, type }) {
  return typeof id === 'string' && typeof type === 'string';
}

function isoNow() {
  return new Date().toISOString();
}
