import { RecentKeys } from './recent-keys.js';

/** Shows browser notifications, one for each happening. */
export class Notifier {
  #shown;
  #describe;

  /** @param {{limit: number, describe?: (event: object) => {title: string}}} options */
  constructor({ limit, describe = describeEvent }) {
    this.#shown = new RecentKeys(limit);
    this.#describe = describe;
  }

  /**
   * Shows an event that asks for it, if the user allowed it and its happening was not shown yet. The tag is the
   * happening, so several tabs of one user show one notification between them.
   * @returns {boolean} whether it was shown
   */
  show(event, happening) {
    if (event.metadata?.notification !== true || permission() !== 'granted') return false;
    if (!this.#shown.add(happening)) return false;
    try {
      const { title, ...options } = this.#describe(event);
      new globalThis.Notification(title, { tag: happening, ...options });
      return true;
    } catch (error) {
      // Chrome on Android has a Notification that throws: there only a service worker may show one.
      console.error('The notification could not be shown.', error);
      return false;
    }
  }
}

/**
 * Asks the user for permission to show notifications. Browsers want this called from a click.
 * @returns {Promise<NotificationPermission | 'unsupported'>}
 */
export async function requestPermission() {
  if (permission() !== 'default') return permission();
  return globalThis.Notification.requestPermission();
}

function permission() {
  return globalThis.Notification?.permission ?? 'unsupported';
}

/** What an event says to a person: its data may hold anything, so only a title and a message that are texts. */
export function describeEvent({ type, data }) {
  return { title: textOf(data?.title) || type, body: textOf(data?.message) };
}

function textOf(value) {
  return typeof value === 'string' ? value.trim() : '';
}
