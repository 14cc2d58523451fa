/** The event stream in React. `react` is a peer dependency; there is no JSX, so nothing to build. */
import { createContext, createElement, useContext, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { EventStream, sseEventManager } from './client.js';

const METHODS = [
  'on', 'off', 'onCategory', 'offCategory', 'onHighPriority', 'offHighPriority', 'onAny', 'offAny', 'onState', 'offState',
  'onGap', 'offGap', 'getConnectionStats', 'requestNotificationPermission',
];

const StreamContext = createContext(null);

/**
 * Keeps a stream open while it is mounted: the one given, or one of its own made of the options, or the page's shared
 * `sseEventManager`. The options are read once; give the provider another `key` to change them.
 */
export function SSEProvider({ stream, options, children }) {
  const [own] = useState(() => (options ? new EventStream(options) : sseEventManager));
  const kept = stream ?? own;
  useEffect(() => {
    kept.connect();
    return () => kept.disconnect();
  }, [kept]);
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

function methodsOf(stream) {
  return Object.fromEntries(METHODS.map((name) => [name, stream[name].bind(stream)]));
}
