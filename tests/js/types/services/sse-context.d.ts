/** The path that the spec's sample imports; in a project, its bundler's alias for static/events/sse-context.js. */
export * from '../../../../static/events/sse-context.js';
