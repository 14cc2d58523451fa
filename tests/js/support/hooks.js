/**
 * Lets Node load `static/events/` as a browser does: as ES modules, though no package.json says so, and with `react` from
 * here, as a page's import map or bundler would give it.
 */
const STATIC = new URL('../../../static/events/', import.meta.url).href;
const HERE = new URL('../package.json', import.meta.url).href;

export function resolve(specifier, context, nextResolve) {
  const isBareFromStatic = context.parentURL?.startsWith(STATIC) && !specifier.startsWith('.');
  return nextResolve(specifier, isBareFromStatic ? { ...context, parentURL: HERE } : context);
}

export function load(url, context, nextLoad) {
  return nextLoad(url, url.startsWith(STATIC) ? { ...context, format: 'module' } : context);
}
