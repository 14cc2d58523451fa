/**
 * Keeps a page of the security desk up to date. An event of the stream says that something is new; what it is is asked of the page
 * itself, so that nobody sees what the page would not show. Who hears no events gets the page anew every so many seconds.
 */
const THROTTLE = 1_000;

const live = document.getElementById('security-live');
const news = document.getElementById('security-news');
let timer = null;
let looking = Promise.resolve();

window.securityStream?.onAny(schedule);
window.securityStream?.onGap(schedule);
setInterval(() => document.hidden || schedule(), Number(live.dataset.every) * 1_000);

/** Many events at once are one fetch. What comes while one is under way is for the next. */
function schedule() {
  timer ??= setTimeout(() => {
    timer = null;
    looking = looking.then(look).catch(console.error);
  }, THROTTLE);
}

async function look() {
  const response = await fetch(location.href, { headers: { Accept: 'text/html' } }).catch(() => null);
  if (!response?.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  const known = keys();
  for (const part of live.querySelectorAll('[data-live]')) replace(part, page.getElementById(part.id));
  const arrived = [...live.querySelectorAll('[data-key]')].filter((row) => known && !known.has(row.dataset.key));
  for (const row of arrived) row.classList.add('security-arrived');
  if (news && arrived.length) news.textContent = `New: ${arrived.map((row) => row.querySelector('.security-summary').innerText).join('; ')}`;
  redraw(page);
}

/** Only what differs, so that focus and selection stay where they are. */
function replace(part, fetched) {
  if (!fetched || part.innerHTML === fetched.innerHTML) return;
  part.className = fetched.className;
  part.replaceChildren(...[...fetched.childNodes].map((child) => document.adoptNode(child)));
}

function keys() {
  return new Set([...live.querySelectorAll('[data-key]')].map((row) => row.dataset.key));
}

function redraw(page) {
  const [canvas, fetched] = [document, page].map((root) => root.querySelector('.security-chart canvas'));
  if (!canvas || !fetched || canvas.dataset.value === fetched.dataset.value) return;
  canvas.dataset.value = fetched.dataset.value;
  const chart = window.Chart.getChart(canvas);
  const { labels, datasets } = JSON.parse(fetched.dataset.value);
  chart.data.labels = labels;
  datasets.forEach(({ data }, index) => {
    chart.data.datasets[index].data = data;
  });
  chart.update();
}
