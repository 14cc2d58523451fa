/** The event stream in React. `react` is a peer dependency; there is no JSX, so nothing to build. */
import { createContext, createElement, useContext, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { EventStream, sseEventManager } from './client.js';

const METHODS = [
  'on', 'off', 'onCategory', 'offCategory', 'onHighPriority', 'offHighPriority', 'onAny', 'offAny', 'onState', 'offState',
  'onGap', 'offGap', 'getConnectionStats', 'requestNotificationPermission',
];

/** States in which nothing keeps the stream open. */
const AT_REST = ['idle', 'closed', 'refused'];

const StreamContext = createContext(null);
/** For each stream that is provided: how many providers keep it open, and whether they opened it. */
const uses = new WeakMap();

/**
 * Keeps a stream open while it is mounted: the one given, or one of its own made of the options, or the page's shared
 * `sseEventManager`. The options are read once; give the provider another `key` to change them.
 */
export function SSEProvider({ stream, options, children }) {
  const [own] = useState(() => (options ? new EventStream(options) : sseEventManager));
  const kept = stream ?? own;
  useEffect(() => keepOpen(kept), [kept]);
  const value = useMemo(() => ({ stream: kept, methods: methodsOf(kept) }), [kept]);
  return createElement(StreamContext.Provider, { value }, children);
}

/**
 * The provider's stream: its methods, which stay the same from render to render, and the connection's state, with which the
 * component renders again.
 */
export function useSSE() {
  const context = useContext(StreamContext);
  if (!context) throw new Error('useSSE() needs an <SSEProvider> around the component.');
  const { stream, methods } = context;
  const state = useSyncExternalStore(methods.onState, () => stream.state, () => 'idle');
  return useMemo(() => ({ ...methods, state }), [methods, state]);
}

/**
 * Opens the stream for one more provider, and gives what ends that. Other providers, or the page itself if it had opened
 * the stream, may need it longer.
 */
function keepOpen(stream) {
  const use = uses.get(stream) ?? { providers: 0, opened: AT_REST.includes(stream.state) };
  uses.set(stream, use);
  use.providers += 1;
  stream.connect();
  return () => {
    use.providers -= 1;
    if (use.providers > 0) return;
    uses.delete(stream);
    if (use.opened) stream.disconnect();
  };
}

function methodsOf(stream) {
  return Object.fromEntries(METHODS.map((name) => [name, stream[name].bind(stream)]));
}
