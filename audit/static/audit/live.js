/**
 * Keeps the newest page of the audit log's list up to date. An event of the stream says that there is something new; what it is
 * is asked of the list itself, with its filters, so that nobody sees a row that the list would not show.
 */
// Not less than QUIET of audit/live.py, in milliseconds: a notice stands for what was recorded up to so long after it.
const EVERY = 1_000;
const RECORDED = 'audit_log.recorded';

const live = document.getElementById('audit-live');
const notice = document.querySelector('.audit-notice button');
let waiting = null; // the page that was fetched last, if its new rows are not shown yet
let timer = null;
let again = false;
let atTop = true;

if (live) {
  window.auditStream?.onCategory('audit', schedule);
  window.auditStream?.on(RECORDED, schedule);
  window.auditStream?.onGap(schedule);
  new IntersectionObserver(([entry]) => {
    atTop = entry.isIntersecting;
    if (atTop) show();
  }).observe(live);
  notice.addEventListener('click', () => {
    show();
    live.scrollIntoView({ block: 'center' });
  });
}

/** Many events at once are one fetch, or two: each is followed by one that begins EVERY after it. */
function schedule() {
  if (timer) {
    again = true;
    return;
  }
  timer = setTimeout(async () => {
    await look();
    timer = null;
    if (again) {
      again = false;
      schedule();
    }
  }, EVERY);
}

async function look() {
  const response = await fetch(live.dataset.url, { headers: { Accept: 'text/html' } }).catch(() => null);
  if (!response?.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  const next = page.getElementById('audit-live');
  if (!next) return;
  live.dataset.url = next.dataset.url;
  waiting = page;
  if (atTop) show();
  else announce(newRows(page).length);
}

function announce(number) {
  notice.hidden = number === 0;
  notice.textContent = number === 1 ? '1 new entry' : `${number} new entries`;
}

function show() {
  if (!waiting) return;
  const [page, table] = [waiting, document.getElementById('result_list')];
  waiting = null;
  announce(0);
  const rows = newRows(page);
  if (!rows.length) return;
  // A list without rows is another element; and where all rows are new, some between them and ours would be missing.
  if (!table || rows.length === rowsOf(page).length) return replaceList(page);
  for (const row of rows) row.classList.add('audit-arrived');
  rowsOf(document)[0].before(...rows.map((row) => document.adoptNode(row)));
  stripe();
}

function replaceList(page) {
  const [form, fetched] = [document, page].map((it) => it.getElementById('changelist-form'));
  form.replaceChildren(...[...fetched.children].map((child) => document.adoptNode(child)));
  const [foot, other] = [document, page].map((it) => it.querySelector('nav[aria-label="Pages"]'));
  if (foot && other) foot.replaceWith(document.adoptNode(other));
}

function newRows(page) {
  const known = new Set(rowsOf(document).map(keyOf));
  return rowsOf(page).filter((row) => !known.has(keyOf(row)));
}

function rowsOf(root) {
  return [...root.querySelectorAll('#result_list > tbody')];
}

/** An entry's own address, without the filters that its link carries. */
function keyOf(row) {
  return row.querySelector('a[href*="/change/"]')?.getAttribute('href').split('?')[0];
}

function stripe() {
  const striped = ['bg-base-50', 'dark:bg-white/[.02]'];
  rowsOf(document).forEach((row, index) => striped.forEach((name) => row.classList.toggle(name, index % 2 === 1)));
}
