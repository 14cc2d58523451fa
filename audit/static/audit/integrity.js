/**
 * Verifies the whole log, one request a step, and shows how far it is and what it found. Without JavaScript each press of the
 * button is one step.
 */
const MAX_SHOWN = 500;

const form = document.getElementById('audit-verify');
const button = form.querySelector('button');
const progress = form.querySelector('progress');
const status = form.querySelector('[role="status"]');
const list = document.getElementById('audit-findings');
let running = null; // what stops the run

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (running) running.abort();
  else verify();
});

async function verify() {
  running = new AbortController();
  const from = Number(form.elements.from.value);
  const total = { rows: 0, seals: 0, unsealed: 0, found: 0, unrecorded: false };
  // The steps of one run are recorded under one correlation.
  const run = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  list.replaceChildren();
  progress.hidden = false;
  progress.removeAttribute('value');
  button.textContent = 'Stop';
  try {
    for (let next = from; next !== null; ) {
      const step = await verifyStep(next, run);
      add(total, step);
      [next, progress.max, progress.value] = [step.next, Math.max(step.head, 1), step.next === null ? Math.max(step.head, 1) : step.last];
      form.elements.from.value = next ?? 1;
      say(next === null ? ended(total) : `${counted(total)}, up to seal ${step.last} of ${step.head}. ${found(total)}`, total, run);
    }
    button.textContent = button.dataset.idle;
  } catch (error) {
    const why = error.name === 'AbortError' ? 'Stopped' : `It could not go on: ${error.message}`;
    say(`${why}. ${counted(total)} before. ${found(total)}`, total, run);
    button.textContent = `Go on with seal ${form.elements.from.value}`;
  }
  running = null;
}

async function verifyStep(from, run) {
  const body = new FormData(form);
  body.set('from', from);
  const response = await fetch(form.getAttribute('action') ?? location.pathname, {
    method: 'POST',
    body,
    headers: { Accept: 'application/json', 'X-Correlation-ID': run },
    signal: running.signal,
  });
  if (response.redirected) throw new Error('you are signed out');
  if (!response.ok) throw new Error(response.status === 503 ? await response.text() : `the server answered ${response.status}`);
  return response.json();
}

function add(total, step) {
  for (const name of ['rows', 'seals', 'found']) total[name] += step[name];
  total.unsealed = step.unsealed;
  total.unrecorded ||= !step.is_recorded;
  const room = MAX_SHOWN - list.children.length;
  list.append(...step.findings.slice(0, Math.max(room, 0)).map(item));
}

function item(finding) {
  const line = document.createElement('li');
  line.append(element('strong', finding.kind), ' ', element('span', finding.message));
  for (const row of finding.rows) {
    const link = element('a', `row ${row.id}`);
    link.href = row.url;
    link.className = 'text-link';
    line.append(' ', link);
  }
  return line;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function say(text, total, run) {
  status.replaceChildren(text);
  if (total.found > list.children.length) status.append(` ${list.children.length} of them are shown.`);
  if (total.unrecorded) status.append(' Not all of this could be put on record.');
  if (total.seals && !total.unrecorded) {
    const link = element('a', 'On record');
    link.href = form.dataset.timeline + run;
    link.className = 'text-link';
    status.append(' ', link);
  }
}

function ended(total) {
  const waiting = total.unsealed ? ` ${plural(total.unsealed, 'row')} wait for a seal.` : '';
  return `${counted(total)}, to the end: ${total.found ? found(total) : 'all is as it was sealed.'}${waiting}`;
}

function counted(total) {
  return `Verified ${plural(total.rows, 'row')} in ${plural(total.seals, 'seal')}`;
}

function found(total) {
  return total.found ? `${plural(total.found, 'finding')}.` : 'No findings.';
}

function plural(number, noun) {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;
}
