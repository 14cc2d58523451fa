/** Whether the device says that it is offline. */
export function isOffline() {
  return globalThis.navigator?.onLine === false;
}

/**
 * Tells when the page went offline, and when it is worth to try at once: back online, or looked at again.
 * @returns {() => void} stops watching
 */
export function watchPage({ onOffline, onReturn }) {
  const { window } = globalThis;
  if (!window) return () => {};
  const onVisibility = () => {
    if (window.document.visibilityState === 'visible') onReturn();
  };
  window.addEventListener('offline', onOffline);
  window.addEventListener('online', onReturn);
  window.document.addEventListener('visibilitychange', onVisibility);
  return () => {
    window.removeEventListener('offline', onOffline);
    window.removeEventListener('online', onReturn);
    window.document.removeEventListener('visibilitychange', onVisibility);
  };
}
