import { WebSocket } from 'ws';
import { EventStream } from '../../../static/events/client.js';
import { Queue } from './queue.js';
import { WireServer } from './server.js';

export const TRANSPORTS = ['sse', 'websocket'];

/** A server and a stream to it that reconnects quickly. Both end with the test. */
export async function startPair(t, options = {}) {
  const server = await WireServer.start();
  const stream = streamTo(t, server, options);
  t.after(() => server.stop());
  return { server, stream, states: statesOf(stream) };
}

export function streamTo(t, server, options = {}) {
  const implementation = options.transport === 'websocket' ? { WebSocket } : {};
  const stream = new EventStream({ url: server.url, retry: { base: 5, cap: 20 }, ...implementation, ...options });
  t.after(() => stream.disconnect());
  return stream;
}

export function statesOf(stream) {
  const states = new Queue();
  stream.onState(states.push);
  return states;
}

/** Waits for the stream to be in a state, from the next change on. */
export function reach(states, state) {
  return states.next((change) => change.state === state);
}

/** What is written to console.error during the test, instead of the terminal. */
export function catchErrors(t) {
  const errors = new Queue();
  t.mock.method(console, 'error', (...parts) => errors.push(parts));
  return errors;
}
