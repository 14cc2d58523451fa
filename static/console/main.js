/** The live console. `window.chatterEvents` is there already: `{% event_stream %}` stands above this module. */
import { announce } from './announcer.js';
import { showConnection } from './connection.js';
import { Documents } from './documents.js';
import { setUpEmit } from './emit.js';
import { EventList } from './event-list.js';
import { Filters } from './filters.js';
import { setUpNotifications } from './notifications.js';
import { showToast } from './toasts.js';

const stream = window.chatterEvents;
const read = (id) => JSON.parse(document.getElementById(id).textContent);

const filters = new Filters(document.getElementById('filters'));
const list = new EventList(filters);
const documents = new Documents(read('documents-data'));

list.load(read('recent-events'));
stream.onAny((event) => {
  list.add(event);
  filters.offer(event.type);
});
stream.on('document.*', (event) => documents.take(event));
stream.onHighPriority((event) => {
  if (event.priority === 'critical') showToast(event);
});
stream.onGap(() => documents.reload());
showConnection(stream, {
  onBack: () => documents.reload(),
  onState: (text) => announce(text),
});
setUpNotifications(stream);
setUpEmit(document.getElementById('emit'));
