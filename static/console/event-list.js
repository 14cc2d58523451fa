import { announceArrival } from './announcer.js';
import { rowOf, showAge } from './event-row.js';

/** Events kept in memory, so that another filter can show them, and rows kept in the page. */
const MAX_EVENTS = 2_000;
const MAX_ROWS = 500;

const element = (id) => document.getElementById(id);

/** The list of events: newest first, filtered, and held while the user has it paused. */
export class EventList {
  #filters;
  #events = [];
  #arrived = [];
  #held = [];
  #heldTotal = 0;
  #paused = false;
  #frame = null;
  #rows = element('events');
  /** The rows that the user opened, by id: a filter that hides one for a while does not close it. */
  #open = new Map();

  /** @param {import('./filters.js').Filters} filters */
  constructor(filters) {
    this.#filters = filters;
    filters.onChange(() => this.#render());
    element('pause').addEventListener('click', () => this.#setPaused(!this.#paused));
    element('held').addEventListener('click', () => this.#setPaused(false));
    element('clear').addEventListener('click', () => this.#clear());
    setInterval(() => this.#showAges(), 1_000);
    document.addEventListener('visibilitychange', () => this.#showAges());
  }

  /** Shows what was before the page opened, oldest first. */
  load(events) {
    this.#events = events;
    events.forEach(({ type }) => this.#filters.offer(type));
    this.#render();
  }

  /** Takes a live event. Many that arrive at once become one change of the page. */
  add(event) {
    if (this.#paused) return this.#hold(event);
    this.#arrived.push(event);
    trim(this.#arrived);
    // A hidden page has no frames; what arrives meanwhile is shown when it is looked at.
    this.#frame ??= requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#frame = null;
    const arrived = this.#arrived.splice(0);
    this.#events.push(...arrived);
    trim(this.#events);
    const shown = arrived.filter(this.#filters.matches).slice(-MAX_ROWS).reverse();
    if (shown.length) {
      this.#rows.prepend(...shown.map(newRowOf));
      while (this.#rows.childElementCount > MAX_ROWS) this.#rows.lastElementChild.remove();
      announceArrival(shown.length);
    }
    this.#showCount();
  }

  #hold(event) {
    this.#held.push(event);
    trim(this.#held);
    this.#heldTotal += this.#filters.matches(event) ? 1 : 0;
    this.#showHeld();
  }

  #setPaused(paused) {
    this.#paused = paused;
    element('pause').setAttribute('aria-pressed', paused);
    element('pause-label').textContent = paused ? 'Resume' : 'Pause';
    document.body.classList.toggle('paused', paused);
    if (paused) return;
    this.#arrived.push(...this.#held.splice(0));
    this.#heldTotal = 0;
    this.#showHeld();
    this.#flush();
    element('scroller').scrollTo({ top: 0 });
  }

  #clear() {
    this.#events = [];
    this.#arrived = [];
    this.#held = [];
    this.#heldTotal = 0;
    this.#showHeld();
    this.#rows.replaceChildren();
    this.#open.clear();
    this.#render();
  }

  #render() {
    this.#rememberOpen();
    const shown = this.#events.filter(this.#filters.matches).slice(-MAX_ROWS).reverse();
    this.#rows.replaceChildren(...shown.map((event) => this.#open.get(event.id) ?? rowOf(event)));
    this.#heldTotal = this.#held.filter(this.#filters.matches).length;
    this.#showHeld();
    this.#showCount();
  }

  #rememberOpen() {
    for (const row of this.#rows.children) {
      row.classList.remove('new'); // Or it would flash again.
      if (row.querySelector('details').open) this.#open.set(row.dataset.id, row);
      else this.#open.delete(row.dataset.id);
    }
  }

  #showHeld() {
    const button = element('held');
    button.hidden = this.#heldTotal === 0;
    button.textContent = `${this.#heldTotal} new`;
    button.setAttribute('aria-label', `Show ${this.#heldTotal} new ${this.#heldTotal === 1 ? 'event' : 'events'}`);
  }

  #showCount() {
    const total = this.#events.length;
    const shown = this.#rows.childElementCount;
    element('count').textContent = this.#filters.isOpen ? total || '' : `${shown} of ${total}`;
    element('empty').hidden = shown > 0;
    if (shown > 0) return;
    element('empty-title').textContent = total ? 'No event matches the filter' : 'Waiting for events';
    element('empty-hint').textContent = total
      ? `${total} ${total === 1 ? 'is' : 'are'} hidden.`
      : 'They appear here the moment they are committed. Upload a text file to see some.';
  }

  #showAges() {
    if (document.hidden) return;
    const now = Date.now();
    for (const row of this.#rows.children) showAge(row, now);
  }
}

function newRowOf(event) {
  const row = rowOf(event);
  row.classList.add('new');
  return row;
}

function trim(events) {
  if (events.length > MAX_EVENTS) events.splice(0, events.length - MAX_EVENTS);
}
