/** A document that is not finished yet: shows its progress, and the chunks once they are there. */
const page = document.querySelector('[data-document]');
const mine = (show) => (event) => event.data.document_id === page.dataset.document && show(event.data);
const reload = mine(() => location.reload());

const stream = window.chatterEvents;
stream.on('document.processing_progress', mine(({ progress }) => (page.querySelector('progress').value = progress)));
stream.on('document.processing_completed', reload);
stream.on('document.processing_failed', reload);
stream.on('document.deleted', mine(() => location.assign('/')));
