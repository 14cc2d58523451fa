import { StreamEnd } from './attempt.js';
import { sseFrames, webSocketFrames } from './transports.js';

const CATEGORIES = ['realtime', 'security', 'audit', 'monitoring', 'streaming', 'analytics', 'workflow'];
const PRIORITIES = ['low', 'normal', 'high', 'critical'];

/** How to open a stream, by the name of the transport. */
export const TRANSPORTS = {
  sse: { url: '/events/stream', frames: sseFrames },
  websocket: { url: '/ws/events/', frames: webSocketFrames },
};

/** Every option of an `EventStream`; `client.d.ts` says what each is for. */
const DEFAULTS = {
  url: null,
  transport: 'sse',
  types: [],
  categories: [],
  minPriority: null,
  cursor: null,
  storage: null,
  storageKey: 'events.cursor',
  notify: true,
  describeNotification: undefined,
  headers: null,
  fetch: undefined,
  WebSocket: undefined,
  openWithin: 30_000,
  remember: 2_000,
  retry: {},
};

/** The options with their defaults. Throws a TypeError for what could only fail silently later. */
export function withDefaults(options) {
  const unknown = Object.keys(options).filter((name) => !(name in DEFAULTS));
  if (unknown.length) throw new TypeError(`EventStream has no option ${unknown.join(', ')}.`);
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const all = { ...DEFAULTS, ...given };
  if (!(all.transport in TRANSPORTS)) throw new TypeError(`There is no transport "${all.transport}".`);
  if (all.transport === 'websocket' && all.headers) throw new TypeError('A browser sends no headers with a WebSocket.');
  checkFilter(all);
  if (typeof all.headers !== 'function') checkHeaders(all.headers);
  return all;
}

/** Whether a type is one, the server says. */
function checkFilter({ types, categories, minPriority }) {
  for (const [name, value] of Object.entries({ types, categories })) {
    const isList = Array.isArray(value) && value.every((item) => typeof item === 'string');
    if (!isList) throw new TypeError(`The option ${name} must be an array of strings.`);
  }
  for (const category of categories) checkCategory(category);
  if (minPriority !== null && !PRIORITIES.includes(minPriority)) {
    throw new TypeError(`The option minPriority must be one of ${PRIORITIES.join(', ')}.`);
  }
}

export function checkCategory(category) {
  if (!CATEGORIES.includes(category)) throw new TypeError(`There is no category "${category}".`);
}

function checkHeaders(headers) {
  try {
    new Headers(headers ?? {});
  } catch (error) {
    throw new TypeError('The option headers holds what cannot be sent.', { cause: error });
  }
}

/**
 * The headers of the next request. A function that fails may be better next time, when the network that it asks for a
 * token is back; but it must not pass for trouble with the stream.
 */
export async function headersOf(headers) {
  if (typeof headers !== 'function') return headers;
  try {
    const given = await headers();
    checkHeaders(given);
    return given;
  } catch (error) {
    console.error('The headers of the event stream could not be had.', error);
    throw new StreamEnd('headers', { cause: error });
  }
}

/** Where to open the stream: the base URL with what is asked for in its query. */
export function addressOf(base, { types, categories, minPriority }, cursor) {
  const url = new URL(base);
  const parameters = { types: types.join(), categories: categories.join(), min_priority: minPriority, cursor };
  for (const [name, value] of Object.entries(parameters)) {
    if (value) url.searchParams.set(name, value);
  }
  return url;
}
