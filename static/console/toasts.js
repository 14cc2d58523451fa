const MAX_TOASTS = 3;

const region = document.getElementById('toasts');
const template = document.getElementById('toast-template').content;

/** Shows a critical event until it is dismissed. More than three: the oldest goes. */
export function showToast({ type, data }) {
  const toast = template.cloneNode(true).firstElementChild;
  toast.querySelector('strong').textContent = data?.title ?? type;
  toast.querySelector('p').textContent = messageOf(data);
  toast.querySelector('button').addEventListener('click', () => toast.remove());
  region.prepend(toast);
  while (region.childElementCount > MAX_TOASTS) region.lastElementChild.remove();
}

function messageOf(data) {
  if (data?.message) return String(data.message);
  return Object.entries(data ?? {}).map(([key, value]) => `${key}: ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' · ');
}

addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') region.firstElementChild?.remove();
});
