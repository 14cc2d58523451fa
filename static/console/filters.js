import { matcherOf } from '../events/listeners.js';

const PRIORITIES = ['low', 'normal', 'high', 'critical'];
const FIELDS = ['types', 'category', 'min_priority'];
const MAX_OFFERED = 200;

/** The filter form. It is kept in the page's address, so that a reload or a bookmark finds it again. */
export class Filters {
  /** Whether the filter lets an event through. */
  matches;
  #form;
  #changed = () => {};
  #offered = new Set();

  constructor(form) {
    this.#form = form;
    const query = new URLSearchParams(location.search);
    for (const name of FIELDS) form.elements[name].value = query.get(name) ?? '';
    this.#read();
    form.addEventListener('input', () => this.#apply());
    form.addEventListener('submit', (event) => event.preventDefault());
    // The fields are empty only after the event.
    form.addEventListener('reset', () => setTimeout(() => this.#reset()));
  }

  /** Whether it lets every event through. */
  get isOpen() {
    return FIELDS.every((name) => !this.#value(name));
  }

  onChange(callback) {
    this.#changed = callback;
  }

  /** Offers a type for completion. */
  offer(type) {
    if (this.#offered.has(type) || this.#offered.size >= MAX_OFFERED) return;
    this.#offered.add(type);
    const option = document.createElement('option');
    option.value = type;
    document.getElementById('known-types').append(option);
  }

  #value(name) {
    return this.#form.elements[name].value.trim();
  }

  #reset() {
    for (const name of FIELDS) this.#form.elements[name].value = '';
    this.#apply();
  }

  #apply() {
    this.#read();
    const query = new URLSearchParams(FIELDS.map((name) => [name, this.#value(name)]).filter(([, value]) => value));
    history.replaceState(null, '', query.size ? `?${query}` : location.pathname);
    this.#changed();
  }

  #read() {
    const [types, category, priority] = FIELDS.map((name) => this.#value(name));
    const wantsType = typeTest(types);
    const lowest = PRIORITIES.indexOf(priority || 'low');
    this.matches = (event) => (
      (!category || event.category === category) && PRIORITIES.indexOf(event.priority) >= lowest && wantsType(event.type)
    );
    document.getElementById('reset').hidden = this.isOpen;
  }
}

/** Patterns as everywhere; words without a star are looked for anywhere in the type. */
function typeTest(text) {
  const items = text.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const tests = items.map((item) => matcherOf(item.includes('*') ? item : `*${item}*`));
  return (type) => tests.length === 0 || tests.some((test) => test(type));
}
