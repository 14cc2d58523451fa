import { sizeOf } from './document-row.js';
import { send } from './requests.js';

/**
 * Uploads the files that are chosen or dropped, one after the other.
 * @param {HTMLFormElement} form
 * @param {(uploaded: object) => void} onUploaded given what the server says of the document
 */
export function setUpUpload(form, onUploaded) {
  const input = form.elements.file;
  const zone = form.querySelector('.dropzone');
  const maxBytes = Number(form.dataset.maxBytes);

  input.addEventListener('change', async () => {
    await uploadAll([...input.files]);
    input.value = ''; // So that the same file can be chosen again.
  });
  form.addEventListener('submit', (event) => event.preventDefault());
  watchDrops(zone, uploadAll);

  async function uploadAll(files) {
    showProblems([]);
    zone.setAttribute('aria-busy', true);
    const problems = [];
    for (const file of files) {
      try {
        onUploaded(await upload(file));
      } catch (error) {
        problems.push(error.message);
      }
    }
    zone.removeAttribute('aria-busy');
    showProblems(problems);
  }

  async function upload(file) {
    // The server says so too, but only after the whole file has travelled.
    if (file.size > maxBytes) {
      throw new Error(`“${file.name}” is too large: at most ${sizeOf(maxBytes)} are allowed.`);
    }
    const body = new FormData();
    body.append('file', file);
    const answer = await send(form.action, { body });
    return answer.document;
  }
}

function watchDrops(zone, onFiles) {
  const carriesFiles = ({ dataTransfer }) => dataTransfer?.types.includes('Files');
  const setOver = (over) => zone.classList.toggle('over', over);
  // A file that is dropped beside the zone must not replace the page.
  addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    setOver(true);
  });
  addEventListener('dragleave', ({ relatedTarget }) => relatedTarget ?? setOver(false));
  addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    setOver(false);
    onFiles([...event.dataTransfer.files]);
  });
}

function showProblems(problems) {
  const shown = document.getElementById('upload-error');
  shown.hidden = problems.length === 0;
  shown.textContent = problems.join('\n');
}
