import { describeEvent } from '../events/notifier.js';

const MAX_TOASTS = 3;

const region = document.getElementById('toasts');
const template = document.getElementById('toast-template').content;

/** Shows a critical event until it is dismissed. More than three: the oldest goes. */
export function showToast(event) {
  const { title, body } = describeEvent(event);
  const toast = template.cloneNode(true).firstElementChild;
  toast.querySelector('strong').textContent = title;
  toast.querySelector('p').textContent = body || listed(event.data);
  toast.querySelector('button').addEventListener('click', () => toast.remove());
  region.prepend(toast);
  while (region.childElementCount > MAX_TOASTS) region.lastElementChild.remove();
}

function listed(data) {
  return Object.entries(data ?? {}).map(([key, value]) => `${key}: ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' · ');
}

addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') region.firstElementChild?.remove();
});
