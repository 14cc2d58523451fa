/** What the types promise. Each `@ts-expect-error` line must be an error, or `tsc` fails. */
import { EventStream, sseEventManager } from '../../../static/events/client.js';
import type {
  ConnectionState, ConnectionStats, EventCategory, EventStreamOptions, Gap, Refusal, StateChange, UnifiedEvent, Unsubscribe,
} from '../../../static/events/client.js';
import { SSEProvider, useSSE } from '../../../static/events/sse-context.js';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

const stream = new EventStream({ types: ['document.*'], categories: ['security'], minPriority: 'high', cursor: 'epoch:1' });
new EventStream();
new EventStream({ storage: sessionStorage, storageKey: 'where', notify: false, headers: { Authorization: 'Token x' } });
new EventStream({ headers: async () => ({ Authorization: 'Token x' }), fetch, retry: { base: 1, cap: 2, random: Math.random } });
new EventStream({ transport: 'websocket', WebSocket });
const options: EventStreamOptions = { transport: 'websocket', url: '/ws/events/' };

// @ts-expect-error an option that does not exist
new EventStream({ min_priority: 'high' });
// @ts-expect-error a transport that does not exist
new EventStream({ transport: 'pigeon' });
// @ts-expect-error headers cannot be sent with a WebSocket
new EventStream({ transport: 'websocket', headers: { Authorization: 'Token x' } });
// @ts-expect-error a category that does not exist
new EventStream({ categories: ['securty'] });
// @ts-expect-error a priority that does not exist
new EventStream({ minPriority: 'urgent' });

same<ReturnType<typeof stream.on>, Unsubscribe>(true);
same<typeof stream.state, ConnectionState>(true);
same<ReturnType<typeof stream.getConnectionStats>, ConnectionStats>(true);
same<typeof sseEventManager, EventStream>(true);

stream.on('document.uploaded', (event) => {
  same<typeof event, UnifiedEvent>(true);
  same<typeof event.category, EventCategory>(true);
  same<typeof event.metadata.derived_from, string | undefined>(true);
  same<(typeof event.data)[string], unknown>(true);
  // @ts-expect-error events are read-only
  event.type = 'document.deleted';
  // @ts-expect-error the wire says `type`
  event.event_type;
});
stream.on<{ document_id: string }>('document.uploaded', ({ data }) => same<typeof data.document_id, string>(true));
stream.on('document.uploaded', async () => {});
// @ts-expect-error a callback is needed
stream.on('document.uploaded');
// @ts-expect-error a category that does not exist
stream.onCategory('securty', () => {});
stream.onCategory<{ ip: string }>('security', ({ data }) => data.ip);
stream.onHighPriority(({ priority }) => priority === 'critical');
stream.onState((change) => {
  same<typeof change, StateChange>(true);
  same<typeof change.detail, Refusal | null>(true);
});
stream.onGap((gap) => same<typeof gap, Gap>(true));
// @ts-expect-error the state is the stream's to change
stream.state = 'open';
// @ts-expect-error connecting is told by onState
stream.connect().then;

export function Component() {
  const sse = useSSE();
  same<typeof sse.state, ConnectionState>(true);
  sse.on<{ document_id: string }>('document.uploaded', ({ data }) => data.document_id);
  // @ts-expect-error the provider connects
  sse.connect();
  SSEProvider({ stream, children: 'text' });
  SSEProvider({ options });
  // @ts-expect-error a stream or options, not an address
  SSEProvider({ url: '/events/stream' });
}
