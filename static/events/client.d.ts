/** Types of the event stream's client. `docs/wire.md` is the contract with the server. */

export type EventCategory =
  | 'realtime' | 'security' | 'audit' | 'monitoring' | 'streaming' | 'analytics' | 'workflow';

export type EventPriority = 'low' | 'normal' | 'high' | 'critical';

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'closed' | 'refused';

/** How a stream continued: without a cursor, with nothing missing, or with events missing. */
export type Outcome = 'fresh' | 'resumed' | 'gap';

export type Transport = 'sse' | 'websocket';

/** `epoch:position`. */
export type Cursor = string;

export type Unsubscribe = () => void;

export interface Actor {
  readonly type: string;
  readonly id: string | null;
  readonly label: string;
}

export interface EventMetadata {
  readonly actor?: Actor;
  readonly request_id?: string;
  /** The id of the event that a rule made this one from. */
  readonly derived_from?: string;
  readonly source_category?: EventCategory;
  /** Show a browser notification. */
  readonly notification?: boolean;
  readonly replayed?: boolean;
  readonly replay_of?: string;
  readonly [name: string]: unknown;
}

/** One thing that happened. `Data` is the shape of its `data`. */
export interface UnifiedEvent<Data = Record<string, unknown>> {
  readonly id: string;
  readonly type: string;
  readonly category: EventCategory;
  readonly priority: EventPriority;
  readonly data: Data;
  readonly metadata: EventMetadata;
  readonly user_id: string | null;
  readonly session_id: string | null;
  readonly correlation_id: string | null;
  readonly source_system: string | null;
  /** ISO 8601 with microseconds and offset. */
  readonly timestamp: string;
}

/** A callback. What it throws, or rejects with, goes to `console.error`. */
export type EventCallback<Data = Record<string, unknown>> = (event: UnifiedEvent<Data>) => unknown;

/** Why a connection ended, as far as the server said. */
export interface Refusal {
  /** A short name: `unauthenticated`, `invalid`, `too_many_connections`, `signed_out`, … */
  readonly error: string;
  /** For a person. */
  readonly detail?: string;
  /** The query parameter that is wrong. */
  readonly field?: string;
  /** The HTTP status, or over WebSocket the close code less 4000. */
  readonly status?: number;
  /** The WebSocket close code. */
  readonly code?: number;
  readonly [name: string]: unknown;
}

export interface StateChange {
  readonly state: ConnectionState;
  readonly previous: ConnectionState;
  /** With `open`: how the stream continued. */
  readonly outcome: Outcome | null;
  /**
   * With `reconnecting` and `refused`: why the connection ended. A reason of `stream:close`, an error of a refusal, or
   * `network`, `ended` (without a word), `silent` (the watchdog), `offline`, `headers` (their function failed),
   * `not_an_event_stream` (something else than the server answered).
   */
  readonly reason: string | null;
  /** With `reconnecting` and `refused`: what the server said. */
  readonly detail: Refusal | null;
  /** With `reconnecting`: milliseconds until the next attempt. */
  readonly retryIn: number | null;
}

export interface Gap {
  /** Where the client was. */
  readonly previous: Cursor | null;
  /** Where the stream goes on. */
  readonly cursor: Cursor | null;
}

export interface ConnectionStats {
  readonly state: ConnectionState;
  readonly transport: Transport;
  /** Null before the first `connect()`. */
  readonly url: string | null;
  readonly cursor: Cursor | null;
  /** Attempts that failed since a stream last stayed open. */
  readonly failedAttempts: number;
  /** Callbacks that are subscribed. */
  readonly listeners: number;
  /** Of the stream that opened last, as `heartbeat`. */
  readonly outcome: Outcome | null;
  /** Seconds. */
  readonly heartbeat: number | null;
  /** Streams that opened. */
  readonly connections: number;
  /** Events that arrived, duplicates included. */
  readonly received: number;
  readonly duplicates: number;
  readonly malformed: number;
  readonly gaps: number;
  readonly callbackErrors: number;
  /** Since when the stream is open; null while none is. */
  readonly openedAt: string | null;
  readonly lastEventAt: string | null;
  /** Why the last connection ended: a reason as in `StateChange`, or `disconnected`. */
  readonly lastEnd: string | null;
  /** The error behind it, if there was one. */
  readonly lastError: string | null;
}

/** A notification's title and the rest of the Notification API's options. The tag is the happening unless given. */
export interface NotificationContent {
  readonly title: string;
  readonly body?: string;
  readonly icon?: string;
  readonly tag?: string;
  readonly [name: string]: unknown;
}

/** Times are in milliseconds. */
export interface RetryOptions {
  /** Limit of the first wait. Default 1,000. */
  readonly base?: number;
  /** Limit of any wait. Default 30,000. */
  readonly cap?: number;
  /** How long a stream must stay open for the waits to start small again. Default 5,000. */
  readonly stableAfter?: number;
  /** Default `Math.random`. */
  readonly random?: () => number;
}

type HeaderFields = Readonly<Record<string, string>>;

interface CommonOptions {
  /** Default `/events/stream`, over WebSocket `/ws/events/`. */
  readonly url?: string | null;
  /** Types or patterns. Default, and if empty: all. */
  readonly types?: readonly string[];
  /** Default, and if empty: all that the user may see. */
  readonly categories?: readonly EventCategory[];
  readonly minPriority?: EventPriority | null;
  /** Where to resume, for example what the server rendered the page at. Wins over a stored cursor. */
  readonly cursor?: Cursor | null;
  /** Keeps the cursor across a page reload: `sessionStorage`. Default: it is not kept. */
  readonly storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null;
  /** Default `events.cursor`. */
  readonly storageKey?: string;
  /** Show a browser notification for events whose metadata asks for it. Default true. */
  readonly notify?: boolean;
  /** What a notification says. Default: `data.title` or the type, and `data.message`, if these are texts. */
  readonly describeNotification?: (event: UnifiedEvent) => NotificationContent;
  /** Milliseconds in which a stream must open. Default 30,000. */
  readonly openWithin?: number;
  /** How many events to remember against duplicates. Default 2,000. */
  readonly remember?: number;
  readonly retry?: RetryOptions;
}

export interface SSEOptions extends CommonOptions {
  readonly transport?: 'sse';
  /** Sent with each request; a function is asked before each. When it fails, it is asked again at the next attempt. */
  readonly headers?: HeaderFields | (() => HeaderFields | Promise<HeaderFields>) | null;
  /** Must honour its `signal`. Default: the page's. */
  readonly fetch?: typeof globalThis.fetch;
}

export interface WebSocketOptions extends CommonOptions {
  readonly transport: 'websocket';
  /** Default: the page's. */
  readonly WebSocket?: new (url: string) => Pick<WebSocket, 'onmessage' | 'onclose' | 'onerror' | 'close'>;
}

export type EventStreamOptions = SSEOptions | WebSocketOptions;

/** One stream of events, kept open until `disconnect()` or until the server refuses it. */
export class EventStream {
  /** Throws a TypeError for an option that can't be. */
  constructor(options?: EventStreamOptions);

  readonly state: ConnectionState;
  readonly cursor: Cursor | null;

  /** Opens the stream and keeps it open. Does nothing while it is kept open already. */
  connect(): void;
  /** Closes the stream. `connect()` opens it again and resumes from the cursor. */
  disconnect(): void;

  /**
   * Calls back once for each happening whose type matches: a derived event of the same type does not call again.
   * @param pattern a type, or a type with `*` for any run of characters
   * @returns unsubscribes; calling it again does nothing
   */
  on<Data = Record<string, unknown>>(pattern: string, callback: EventCallback<Data>): Unsubscribe;
  off<Data = Record<string, unknown>>(pattern: string, callback: EventCallback<Data>): void;

  /** Calls back for each event of a category. */
  onCategory<Data = Record<string, unknown>>(category: EventCategory, callback: EventCallback<Data>): Unsubscribe;
  offCategory<Data = Record<string, unknown>>(category: EventCategory, callback: EventCallback<Data>): void;

  /** Calls back once for each happening of high or critical priority. */
  onHighPriority<Data = Record<string, unknown>>(callback: EventCallback<Data>): Unsubscribe;
  offHighPriority<Data = Record<string, unknown>>(callback: EventCallback<Data>): void;

  /** Calls back for each event, derived events too. */
  onAny<Data = Record<string, unknown>>(callback: EventCallback<Data>): Unsubscribe;
  offAny<Data = Record<string, unknown>>(callback: EventCallback<Data>): void;

  /** Calls back when the connection's state changes, and for each new wait while it reconnects. */
  onState(callback: (change: StateChange) => unknown): Unsubscribe;
  offState(callback: (change: StateChange) => unknown): void;

  /** Calls back when events may be missing: load again what the page shows. */
  onGap(callback: (gap: Gap) => unknown): Unsubscribe;
  offGap(callback: (gap: Gap) => unknown): void;

  getConnectionStats(): ConnectionStats;

  /** Asks the user for permission to show notifications. Call it from a click. */
  requestNotificationPermission(): Promise<NotificationPermission | 'unsupported'>;
}

/** The page's shared stream: made when it is first used, with default options. */
export const sseEventManager: EventStream;
