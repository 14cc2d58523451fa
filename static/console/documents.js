import { documentRow } from './document-row.js';
import { send } from './requests.js';
import { setUpUpload } from './upload.js';

/** What each event says about a document. */
const CHANGES = {
  'document.uploaded': () => ({}),
  'document.processing_started': () => ({ status: 'processing' }),
  'document.processing_progress': ({ progress, chunks_created: chunks = 0 }) => ({ status: 'processing', progress, chunk_count: chunks }),
  'document.processing_completed': ({ chunks_created: chunks }) => ({ status: 'completed', progress: 100, chunk_count: chunks }),
  'document.processing_failed': ({ error }) => ({ status: 'failed', error }),
};

const element = (id) => document.getElementById(id);

/** The user's documents, newest first, kept up to date by their events. */
export class Documents {
  #list = element('documents');
  #known = new Map();
  #reloading = null;

  constructor(documents) {
    this.#show(documents);
    setUpUpload(element('upload'), (uploaded) => this.#add(uploaded));
    element('documents-more').addEventListener('click', () => this.#toggleMore());
  }

  /** Takes a `document.*` event. */
  take({ type, data }) {
    const known = this.#known.get(data.document_id);
    if (type === 'document.deleted') this.#remove(data.document_id);
    else if (known && type in CHANGES) known.update(CHANGES[type](data));
    else if (type in CHANGES) this.reload(); // Uploaded in another tab, or this tab has no answer to its upload yet.
  }

  /** Asks the server for the documents. */
  reload() {
    this.#reloading ??= send(this.#listUrl, { method: 'GET' })
      .then((answer) => this.#show(answer.documents))
      .catch((error) => console.error('The documents could not be loaded.', error))
      .finally(() => (this.#reloading = null));
  }

  get #listUrl() {
    return element('upload').action;
  }

  #show(documents) {
    const ids = new Set(documents.map(({ id }) => id));
    for (const id of [...this.#known.keys()].filter((known) => !ids.has(known))) this.#remove(id);
    for (const shown of documents.toReversed()) this.#add(shown);
    this.#showCount();
  }

  #add(shown) {
    const known = this.#known.get(shown.id);
    if (known) return known.update(shown);
    const row = documentRow(shown, () => this.#remove(shown.id));
    this.#known.set(shown.id, row);
    this.#list.prepend(row.element);
    this.#showCount();
  }

  #remove(id) {
    this.#known.get(id)?.element.remove();
    this.#known.delete(id);
    this.#showCount();
  }

  #showCount() {
    element('documents-count').textContent = this.#known.size || '';
    element('documents-empty').hidden = this.#known.size > 0;
    element('documents-more').hidden = this.#known.size <= 3;
    this.#labelMore();
  }

  #toggleMore() {
    this.#list.classList.toggle('all');
    this.#labelMore();
  }

  #labelMore() {
    const all = this.#list.classList.contains('all');
    element('documents-more').setAttribute('aria-expanded', all);
    element('documents-more').textContent = all ? 'Show fewer' : `Show all ${this.#known.size}`;
  }
}
