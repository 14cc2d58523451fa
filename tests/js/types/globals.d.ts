/** What the spec's sample takes for granted. */
declare const useEffect: typeof import('react').useEffect;
declare function showCriticalAlert(event: import('../../../static/events/client.js').UnifiedEvent): void;
