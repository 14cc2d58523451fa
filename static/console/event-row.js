import { ageOf, clockOf, fullTimeOf } from './time.js';

const MAX_SUMMARY = 240;
const template = document.getElementById('event-template').content;

/** The list item of an event. Everything that comes from the event is set as text. */
export function rowOf(event) {
  const row = template.cloneNode(true).firstElementChild;
  const date = new Date(event.timestamp);
  row.dataset.id = event.id;
  row.dataset.priority = event.priority;
  row.dataset.time = date.getTime();
  const time = row.querySelector('.event-clock');
  Object.assign(time, { textContent: clockOf(date), dateTime: event.timestamp, title: fullTimeOf(date) });
  row.querySelector('.event-type').textContent = event.type;
  const category = row.querySelector('.event-category');
  category.textContent = event.category;
  category.dataset.category = event.category;
  const priority = row.querySelector('.event-priority');
  priority.textContent = event.priority;
  priority.dataset.priority = event.priority;
  row.querySelector('.event-summary').append(...originsOf(event.metadata).map(originTag), ...summaryOf(event.data));
  const details = row.querySelector('details');
  details.addEventListener('toggle', () => fill(row, event), { once: true });
  showAge(row);
  return row;
}

/** Brings the row's age up to date. */
export function showAge(row, now = Date.now()) {
  const age = row.querySelector('.event-age');
  const text = ageOf(Number(row.dataset.time), now);
  if (age.textContent !== text) age.textContent = text;
}

function originsOf({ derived_from: derived, source_category: source, replayed } = {}) {
  return [derived && `from ${source ?? 'a rule'}`, replayed && 'replayed'].filter(Boolean);
}

function originTag(text) {
  const tag = document.createElement('span');
  tag.className = 'origin';
  tag.textContent = text;
  return tag;
}

/** The event's data in a line: each key, and its value in short. What a person reads comes first, ids last. */
function summaryOf(data) {
  const nodes = [];
  let length = 0;
  const entries = Object.entries(data ?? {}).sort(([one], [other]) => rankOf(one) - rankOf(other));
  for (const [key, value] of entries) {
    if (length > MAX_SUMMARY) break;
    const name = document.createElement('span');
    name.className = 'key';
    name.textContent = `${key} `;
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    nodes.push(name, `${text.slice(0, MAX_SUMMARY)}  `);
    length += key.length + text.length;
  }
  return nodes;
}

function rankOf(key) {
  if (key === 'message' || key === 'title') return 0;
  return /(^|_)id$/.test(key) ? 2 : 1;
}

function fill(row, event) {
  const { metadata = {} } = event;
  const facts = {
    Time: fullTimeOf(new Date(event.timestamp)),
    Actor: metadata.actor?.label,
    User: event.user_id,
    Source: event.source_system,
    Correlation: event.correlation_id,
    Id: event.id,
  };
  row.querySelector('.facts').append(...Object.entries(facts).filter(([, value]) => value).map(factOf));
  const json = JSON.stringify(event, null, 2);
  row.querySelector('pre').textContent = json;
  row.querySelector('.copy').addEventListener('click', ({ target }) => copy(json, target, row.querySelector('pre')));
}

function factOf([name, value]) {
  const fact = document.createElement('div');
  const [term, description] = ['dt', 'dd'].map((tag) => document.createElement(tag));
  term.textContent = name;
  description.textContent = value;
  fact.append(term, description);
  return fact;
}

async function copy(text, button, shown) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(shown); // Without HTTPS there is no clipboard: select it for the user.
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 1_500);
}
