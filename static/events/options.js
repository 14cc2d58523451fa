import { sseFrames, webSocketFrames } from './transports.js';

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
  return all;
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
