let made = 0;

/** An event as the wire has it. */
export function eventOf(parts = {}) {
  made += 1;
  return {
    id: `event-${made}`, type: 'document.uploaded', category: 'realtime', priority: 'normal', data: {}, metadata: {},
    user_id: null, session_id: null, correlation_id: null, source_system: null,
    timestamp: '2026-01-31T12:00:00.000000+00:00', ...parts,
  };
}

/** One critical security event with the copies that the rules derive from it: audit and realtime. */
export function happeningOf(parts = {}) {
  const original = eventOf({ type: 'suspicious.brute_force', category: 'security', priority: 'critical', ...parts });
  const copy = (category, metadata = {}) =>
    eventOf({ ...parts, type: original.type, category, priority: original.priority,
      metadata: { derived_from: original.id, source_category: 'security', ...metadata } });
  return [original, copy('audit'), copy('realtime', { notification: true })];
}
