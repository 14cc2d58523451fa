import type { ReactElement, ReactNode } from 'react';
import type { ConnectionState, EventStream, EventStreamOptions } from './client.js';

export type {
  ConnectionState, ConnectionStats, EventCallback, EventCategory, EventPriority, Gap, StateChange, UnifiedEvent, Unsubscribe,
} from './client.js';

export interface SSEProviderProps {
  /** The stream to keep open. Default: one made of `options`, or without those the page's shared `sseEventManager`. */
  readonly stream?: EventStream;
  /** Read once; give the provider another `key` to change them. */
  readonly options?: EventStreamOptions;
  readonly children?: ReactNode;
}

/**
 * Connects its stream when it mounts. The last provider of a stream disconnects it when it unmounts, unless the stream was
 * connected already before the first.
 */
export function SSEProvider(props: SSEProviderProps): ReactElement;

/** The stream's methods, the same from render to render, and the connection's state. */
export interface SSE extends Pick<
  EventStream,
  | 'on' | 'off' | 'onCategory' | 'offCategory' | 'onHighPriority' | 'offHighPriority' | 'onAny' | 'offAny'
  | 'onState' | 'offState' | 'onGap' | 'offGap' | 'getConnectionStats' | 'requestNotificationPermission'
> {
  readonly state: ConnectionState;
}

/** Throws outside of an `SSEProvider`. */
export function useSSE(): SSE;
