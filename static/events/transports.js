import { StreamEnd } from './attempt.js';
import { retryAfterOf } from './backoff.js';
import { SseParser } from './sse-parser.js';

/** Client errors that pass by themselves: request timeout, too early, too many requests. */
const TEMPORARY = new Set([408, 425, 429]);

/** What the close codes of the wire mean. */
const CLOSE_REASONS = {
  1001: 'server_stopping', // a server's own, when it goes away
  1012: 'server_stopping',
  4001: 'connection_expired',
  4002: 'epoch_changed',
  4003: 'access_changed',
  4012: 'server_stopping',
  4013: 'slow_consumer',
  4400: 'invalid',
  4401: 'unauthenticated',
  4403: 'forbidden',
  4429: 'too_many_connections',
  4503: 'stopping',
};

/**
 * A transport opens one stream and gives its frames until it ends; it throws a `StreamEnd` when the server refuses.
 *
 * @typedef {object} Frame
 * @property {object} [event] an event
 * @property {object} [control] a control frame
 * @property {unknown} [malformed] why the frame cannot be read
 * @property {string | null} cursor where the client is after this frame, if it moves the cursor
 */

/**
 * SSE over fetch and not `EventSource`, which hides the status and the text of a refusal.
 * @returns {AsyncGenerator<Frame>}
 */
export async function* sseFrames({ url, headers, fetch = globalThis.fetch, signal, alive }) {
  const response = await fetch(url, {
    headers: { Accept: 'text/event-stream', ...headers }, credentials: 'same-origin', cache: 'no-store', signal,
  });
  if (!isEventStream(response)) throw await refusalOf(response);
  const reader = response.body.getReader();
  try {
    yield* blocksOf(reader, alive);
  } finally {
    // Cancelling a stream that already failed fails again with the error that is on its way.
    reader.cancel().catch(() => {});
  }
}

async function* blocksOf(reader, alive) {
  const parser = new SseParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    yield* parser.push(value).map(frameOfBlock);
  }
}

function frameOfBlock({ event, data, id }) {
  if (data === null) return { cursor: id };
  return readFrame(data, id, event.startsWith('stream:'));
}

function isEventStream(response) {
  return response.status === 200 && /^text\/event-stream\b/i.test(response.headers.get('Content-Type') ?? '');
}

/** A success that is no event stream comes from something in between, such as a captive portal, and passes. */
async function refusalOf(response) {
  const { status, headers, ok } = response;
  const said = ok ? { error: 'not_an_event_stream' } : await response.text().then(readRefusal);
  const detail = { error: `http_${status}`, ...said, status };
  if (ok) response.body?.cancel().catch(() => {});
  return new StreamEnd(detail.error, {
    final: isFinal(status), retryAfter: retryAfterOf(headers.get('Retry-After')), detail,
  });
}

/**
 * @returns {AsyncGenerator<Frame>}
 */
export async function* webSocketFrames({ url, WebSocket = globalThis.WebSocket, signal, alive }) {
  const address = new URL(url.href.replace(/^http/, 'ws'));
  address.searchParams.set('batch', '1');
  const socket = new WebSocket(address.href);
  const inbox = inboxOf(socket, signal, alive);
  let refusal = {};
  try {
    for (;;) {
      const { data, close } = await inbox.next();
      if (close) throw closeOf(close, refusal);
      for (const frame of framesOfMessage(data)) {
        if (frame.control?.stream === 'refused') refusal = frame.control;
        else yield frame;
      }
    }
  } finally {
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }
}

/** A queue between the socket's callbacks and the generator. The end of the signal empties it at once. */
function inboxOf(socket, signal, alive) {
  const items = [];
  let wake = () => {};
  const put = (item) => {
    items.push(item);
    wake();
  };
  socket.onmessage = ({ data }) => {
    alive();
    put({ data });
  };
  socket.onclose = (close) => put({ close });
  socket.onerror = () => {}; // A close always follows, and it says more.
  signal.addEventListener('abort', () => wake(), { once: true });
  return {
    async next() {
      while (items.length === 0 && !signal.aborted) await new Promise((resolve) => (wake = resolve));
      signal.throwIfAborted();
      return items.shift();
    },
  };
}

/** A message holds one frame, or a list of events that were there at once. */
function framesOfMessage(text) {
  const frame = readFrame(text, null, false);
  return frame.event ? [frame.event].flat().map(frameOfValue) : [frame];
}

function frameOfValue(object) {
  if (!isObject(object)) return { malformed: new TypeError(`An event must be an object: ${object}`), cursor: null };
  const { cursor = null, ...value } = object;
  if ('stream' in value && !('id' in value)) return { control: { ...value, cursor }, cursor: null };
  return { event: value, cursor };
}

/** A refusal is told by the last message before the close. */
function closeOf({ code, reason }, { stream, cursor, retry_after = 0, ...refusal }) {
  const name = CLOSE_REASONS[code] ?? (code === 1006 ? 'network' : 'ended');
  const retryAfter = retryAfterOf(String(retry_after));
  if (code < 4400) return new StreamEnd(name, { retryAfter });
  const detail = { error: name, code, ...readRefusal(reason), ...refusal, status: code - 4000 };
  return new StreamEnd(detail.error, { final: isFinal(code - 4000), retryAfter, detail });
}

/** A refusal says why in JSON. A proxy says text. */
function readRefusal(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' ? value : { detail: text };
  } catch {
    return text ? { detail: text } : {};
  }
}

function isFinal(status) {
  return status >= 400 && status < 500 && !TEMPORARY.has(status);
}

function readFrame(text, cursor, isControl) {
  try {
    const value = JSON.parse(text);
    if (!isObject(value)) throw new TypeError(`A frame must be an object: ${text}`);
    return isControl ? { control: value, cursor: null } : { event: value, cursor };
  } catch (error) {
    return { malformed: error, cursor };
  }
}

function isObject(value) {
  return typeof value === 'object' && value !== null;
}
