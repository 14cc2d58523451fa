import { Notifier } from './notifier.js';
import { RecentKeys } from './recent-keys.js';

const URGENT = ['high', 'critical'];

/**
 * Gives each event to the page's callbacks.
 *
 * Rules derive events from an event: one critical security event arrives with an audit copy and a realtime copy. They are
 * one happening, named by the id of the original. Callbacks for a type or a priority, and the notification, want the
 * happening once; callbacks for a category or for anything want each event.
 */
export class Delivery {
  #listeners;
  #notifier;
  #ids;
  #happenings;
  #alerts;

  /** Takes the page's callbacks, and the options of the stream. */
  constructor(listeners, { notify, remember, describeNotification }) {
    this.#listeners = listeners;
    this.#notifier = notify ? new Notifier({ limit: remember, describe: describeNotification }) : null;
    this.#ids = new RecentKeys(remember);
    this.#happenings = new RecentKeys(remember);
    this.#alerts = new RecentKeys(remember);
  }

  /** False if the event was delivered before. */
  deliver(event) {
    if (!this.#ids.add(event.id)) return false;
    const happening = event.metadata?.derived_from ?? event.id;
    this.#listeners.emit('any', '', event);
    this.#listeners.emit('category', event.category, event);
    // With the type: a rule of your own may derive an event of another type, and that one is news.
    if (this.#happenings.add(`${happening} ${event.type}`)) this.#listeners.emit('type', event.type, event);
    if (URGENT.includes(event.priority) && this.#alerts.add(happening)) this.#listeners.emit('urgent', '', event);
    this.#notifier?.show(event, happening);
    return true;
  }
}
