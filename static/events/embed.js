/**
 * What {% event_stream %} puts into a page: opens the stream and gives it to the page's scripts as a global variable.
 *
 * It is a classic script, because it must have run when the scripts below it run. The stream's module is loaded
 * meanwhile; until then subscriptions wait here. The stream opens when the document is parsed: by then every script of
 * the page, modules too, has had its chance to subscribe, so none misses the first events.
 */
(() => {
  const SUBSCRIBE = ['on', 'onCategory', 'onHighPriority', 'onAny', 'onState', 'onGap'];
  const UNSUBSCRIBE = ['off', 'offCategory', 'offHighPriority', 'offAny', 'offState', 'offGap'];

  const { settings: settingsId } = document.currentScript.dataset;
  const { name, target, client, options } = JSON.parse(document.getElementById(settingsId).textContent);
  if (name in window) throw new Error(`window.${name} is taken. Give this {% event_stream %} another name.`);

  const parsed = new Promise((resolve) => {
    if (document.readyState !== 'loading') resolve();
    else document.addEventListener('DOMContentLoaded', resolve, { once: true });
  });
  const waiting = [];
  let stream = null;

  const embedded = {
    /** The `EventStream`, once it is there. Rejected if it can't be loaded. */
    ready: open(),
    get state() {
      return stream?.state ?? 'idle';
    },
    get cursor() {
      return stream?.cursor ?? options.cursor;
    },
    connect: () => void embedded.ready.then(() => stream.connect()),
    disconnect: () => void embedded.ready.then(() => stream.disconnect()),
    getConnectionStats: () => stream?.getConnectionStats() ?? { state: 'idle', connections: 0, received: 0 },
    requestNotificationPermission: () => embedded.ready.then(() => stream.requestNotificationPermission()),
  };
  for (const method of SUBSCRIBE) embedded[method] = (...args) => subscribe(method, args);
  for (const method of UNSUBSCRIBE) embedded[method] = (...args) => void subscribe(method, args);
  window[name] = Object.freeze(embedded);

  async function open() {
    const { EventStream } = await import(client);
    const made = new EventStream(options);
    made.onAny((event) => dispatch('chatter:event', event));
    made.onState((change) => dispatch('chatter:state', change));
    made.onGap((gap) => dispatch('chatter:gap', gap));
    await parsed;
    stream = made;
    for (const call of waiting.splice(0)) perform(call);
    stream.connect();
    return stream;
  }

  function subscribe(method, args) {
    if (stream) return stream[method](...args);
    const call = { method, args, undo: null, cancelled: false };
    waiting.push(call);
    return () => {
      call.cancelled = true;
      call.undo?.();
    };
  }

  function perform(call) {
    if (call.cancelled) return;
    try {
      call.undo = stream[call.method](...call.args);
    } catch (error) {
      reportError(error); // The mistake of one subscriber must not cost the others their events.
    }
  }

  function dispatch(type, detail) {
    const element = (target && document.getElementById(target)) || document;
    element.dispatchEvent(new CustomEvent(type, { detail, bubbles: true }));
  }
})();
