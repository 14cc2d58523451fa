import { send } from './requests.js';

const DISARM_AFTER = 4_000;
/** An answer of the server and an event may cross: a document never goes back. */
const ORDER = ['uploaded', 'processing', 'completed', 'failed'];

const template = document.getElementById('document-template').content;

/**
 * The row of a document.
 * @returns {{id: string, element: HTMLElement, isNewerThan: (other: object) => boolean, update: (changes: object) => void}}
 */
export function documentRow(shown, onDeleted) {
  const element = template.cloneNode(true).firstElementChild;
  const state = { ...shown };
  const name = element.querySelector('.document-name');
  Object.assign(name, { textContent: state.name, href: state.url, title: state.name });
  setUpDelete(element, state, onDeleted);
  render(element, state);
  return {
    id: state.id,
    element,
    /** In the order of the server's list. */
    isNewerThan: (other) => (Date.parse(state.uploaded_at) - Date.parse(other.uploaded_at) || state.id - other.id) > 0,
    update(changes) {
      if (ORDER.indexOf(changes.status ?? state.status) < ORDER.indexOf(state.status)) return;
      if (changes.progress < state.progress) return;
      Object.assign(state, changes);
      render(element, state);
    },
  };
}

function render(element, { status, progress, chunk_count: chunks, error, size }) {
  element.dataset.status = status;
  element.querySelector('.document-state').textContent = {
    uploaded: `${sizeOf(size)} · waiting`,
    processing: `Splitting · ${Math.round(progress)} %`,
    completed: `${sizeOf(size)} · ${chunks.toLocaleString()} ${chunks === 1 ? 'chunk' : 'chunks'}`,
    failed: 'Failed',
  }[status];
  const bar = element.querySelector('progress');
  bar.hidden = !['uploaded', 'processing'].includes(status);
  bar.value = progress;
  bar.setAttribute('aria-label', 'Progress');
  const problem = element.querySelector('.document-error');
  problem.hidden = !error;
  problem.textContent = error;
}

/** The first click asks, the second deletes. */
function setUpDelete(element, { name, delete_url: url }, onDeleted) {
  const button = element.querySelector('.document-delete');
  const label = button.querySelector('span');
  const setArmed = (armed) => {
    button.classList.toggle('armed', armed);
    label.textContent = armed ? 'Delete?' : '';
    button.setAttribute('aria-label', `${armed ? 'Really delete' : 'Delete'} ${name}`);
  };
  setArmed(false);
  button.addEventListener('blur', () => setArmed(false));
  button.addEventListener('click', async () => {
    if (!button.classList.contains('armed')) {
      setArmed(true);
      setTimeout(() => setArmed(false), DISARM_AFTER);
      return;
    }
    button.disabled = true;
    try {
      await send(url);
      onDeleted();
    } catch (error) {
      button.disabled = false;
      Object.assign(element.querySelector('.document-error'), { hidden: false, textContent: error.message });
    }
  });
}

/** `912 B`, `14 KB`, `1.8 MB`. */
export function sizeOf(bytes) {
  if (bytes < 1_024) return `${bytes} B`;
  if (bytes < 1_048_576) return `${Math.round(bytes / 1_024)} KB`;
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
