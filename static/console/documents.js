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

/** The user's documents, newest first, kept up to date by their events. Of many, the server lists the newest. */
export class Documents {
  #list = element('documents');
  #rows = [];
  #total = 0;
  #stale = false;
  #loading = false;

  /** @param {{documents: object[], total: number}} listed as the server lists them */
  constructor(listed) {
    this.#show(listed);
    setUpUpload(element('upload'), (uploaded) => this.#uploaded(uploaded));
    element('documents-more').addEventListener('click', () => this.#toggleMore());
  }

  /** Takes a `document.*` event. */
  take({ type, data }) {
    const known = this.#find(data.document_id);
    if (type === 'document.deleted') this.#deleted(data.document_id);
    else if (known && type in CHANGES) known.update(CHANGES[type](data));
    else if (type in CHANGES) this.reload(); // Uploaded in another tab, or this tab has no answer to its upload yet.
  }

  /** Asks the server for the documents. Once more if it is called meanwhile: the answer under way may be older. */
  async reload() {
    this.#stale = true;
    if (this.#loading) return;
    this.#loading = true;
    while (this.#stale) {
      this.#stale = false;
      try {
        this.#show(await send(element('upload').action, { method: 'GET' }));
      } catch (error) {
        console.error('The documents could not be loaded.', error);
      }
    }
    this.#loading = false;
  }

  #show({ documents, total }) {
    const ids = new Set(documents.map(({ id }) => id));
    for (const { id } of this.#rows.filter((row) => !ids.has(row.id))) this.#remove(id);
    for (const shown of documents) this.#add(shown);
    this.#total = total;
    this.#showCount();
  }

  #uploaded(shown) {
    if (!this.#find(shown.id)) this.#total += 1;
    this.#add(shown);
    this.#showCount();
  }

  #deleted(id) {
    if (this.#remove(id)) this.#total -= 1;
    this.#showCount();
    if (this.#total > this.#rows.length) this.reload(); // An older one moves up, or was the one that was deleted.
  }

  #find(id) {
    return this.#rows.find((row) => row.id === id);
  }

  #add(shown) {
    const known = this.#find(shown.id);
    if (known) return known.update(shown);
    const row = documentRow(shown, () => this.#deleted(shown.id));
    const next = this.#rows.find((other) => !other.isNewerThan(shown));
    this.#list.insertBefore(row.element, next?.element ?? null);
    this.#rows.splice(next ? this.#rows.indexOf(next) : this.#rows.length, 0, row);
  }

  #remove(id) {
    const known = this.#find(id);
    known?.element.remove();
    this.#rows = this.#rows.filter((row) => row !== known);
    return known !== undefined;
  }

  #showCount() {
    element('documents-count').textContent = this.#total || '';
    element('documents-empty').hidden = this.#total > 0;
    element('documents-more').hidden = this.#rows.length <= 3;
    this.#labelMore();
  }

  #toggleMore() {
    this.#list.classList.toggle('all');
    this.#labelMore();
  }

  #labelMore() {
    const all = this.#list.classList.contains('all');
    const number = this.#rows.length;
    const older = this.#total - number;
    element('documents-more').setAttribute('aria-expanded', all);
    element('documents-more').textContent = all ? 'Show fewer' : `Show ${older > 0 ? 'the newest' : 'all'} ${number}`;
    element('documents-older').hidden = !all || older <= 0;
    element('documents-older').textContent = `${older} older ${older === 1 ? 'document is' : 'documents are'} not listed.`;
  }
}
