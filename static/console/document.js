/**
 * A document that is not finished yet: shows its progress, and the chunks once they are there.
 *
 * All of it in place: a reload would take the place of the page that the user may be on the way to.
 */
const page = document.querySelector('[data-document]');
const notice = page.querySelector('[role=status]');
const stream = window.chatterEvents;

const mine = (show) => (event) => event.data.document_id === page.dataset.document && show(event.data);
stream.on('document.processing_progress', mine(({ progress }) => page.querySelector('progress')?.setAttribute('value', progress)));
stream.on('document.processing_completed', mine(showResult));
stream.on('document.processing_failed', mine(showResult));
stream.on('document.deleted', mine(showDeleted));

async function showResult() {
  stream.disconnect();
  try {
    const response = await fetch(location.href);
    if (!response.ok || response.redirected) throw new Error(`The server answered ${response.status}.`);
    const loaded = new DOMParser().parseFromString(await response.text(), 'text/html');
    page.querySelector('.document-body').replaceWith(loaded.querySelector('.document-body'));
  } catch {
    tell('The document is processed. Reload the page to see it.');
  }
}

function showDeleted() {
  stream.disconnect();
  for (const part of page.querySelectorAll('.document-body, .confirm')) part.hidden = true;
  tell('This document was deleted.');
}

function tell(text) {
  Object.assign(notice, { textContent: text, hidden: false });
}
