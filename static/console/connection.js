import { onSignedOut } from './requests.js';

/** A short reconnect is shown by the dot alone; a longer one is explained. */
const PATIENCE = 1_500;

const REASONS = {
  network: 'The server can’t be reached.',
  ended: 'The connection was closed.',
  silent: 'The server went silent.',
  offline: 'This device is offline.',
  slow_consumer: 'This page fell behind the events.',
  server_stopping: 'The server is restarting.',
  connection_expired: 'The connection is being renewed.',
  access_changed: 'What you may see has changed.',
  not_an_event_stream: 'Something else answers in the server’s place.',
  signed_out: 'You are signed out.',
  unauthenticated: 'You are signed out.',
  too_many_connections: 'You have too many streams open. Close another tab.',
};
const SIGNED_OUT = ['signed_out', 'unauthenticated'];
const TOLD_BY_AN_ANSWER = { state: 'refused', reason: 'signed_out' };

const element = (id) => document.getElementById(id);

/**
 * Shows the stream's state, and why it is not live.
 * @param {object} callbacks
 * @param {() => void} callbacks.onBack the stream is open again after it was not
 * @param {(text: string) => void} callbacks.onState the state in words
 */
export function showConnection(stream, { onBack, onState }) {
  let latest = null;
  let explaining = null;
  let countdown = null;
  let signedOut = false;

  stream.onState(take);
  // The stream may stay open for a while, with what is no longer for this page.
  onSignedOut(() => {
    signedOut = true;
    stream.disconnect();
    take(TOLD_BY_AN_ANSWER);
  });

  function take(told) {
    const change = signedOut ? TOLD_BY_AN_ANSWER : told;
    const { state, reason, retryIn } = change;
    const isNews = state !== latest?.state;
    latest = change;
    clearInterval(countdown);
    if (state === 'reconnecting') {
      countdown = countDown(change, performance.now() + retryIn);
      // From the first failure on: another does not begin the wait anew.
      if (element('notice').hidden) explaining ??= setTimeout(() => explain(latest, stream), PATIENCE);
      else explain(change, stream);
    } else {
      clearTimeout(explaining);
      explaining = null;
      show(state, labelOf(state, reason));
      explain(change, stream);
    }
    if (isNews) onState(`Connection: ${labelOf(state, reason)}`);
    if (state === 'open' && stream.getConnectionStats().connections > 1) onBack();
  }

  showGaps(stream);
  stream.ready.catch(() => {
    show('refused', 'Not connected');
    notice({ tone: 'bad', text: 'The stream’s script could not be loaded.', button: 'Reload', onClick: () => location.reload() });
  });
}

/** Until the user has dealt with it: what was missed stays missed, however the stream goes on. */
function showGaps(stream) {
  stream.onGap(() => (element('gap').hidden = false));
  element('gap-reload').addEventListener('click', () => location.reload());
  element('gap-dismiss').addEventListener('click', () => (element('gap').hidden = true));
}

const LABELS = {
  idle: 'Connecting…', connecting: 'Connecting…', open: 'Live', reconnecting: 'Reconnecting', closed: 'Stopped', refused: 'Refused',
};

function labelOf(state, reason) {
  return state === 'refused' && SIGNED_OUT.includes(reason) ? 'Signed out' : LABELS[state];
}

/** @param {string} [wait] how long it stays so, for which a phone has no room */
function show(state, label, wait = '') {
  element('connection').dataset.state = state;
  element('connection').querySelector('.connection-label').textContent = label;
  element('connection').querySelector('.connection-wait').textContent = wait;
}

function countDown({ reason }, until) {
  const tick = () => {
    const offline = reason === 'offline' || navigator.onLine === false;
    const seconds = Math.ceil((until - performance.now()) / 1_000);
    if (offline) show('offline', 'Offline');
    else show('reconnecting', 'Reconnecting', seconds > 0 ? ` in ${seconds} s` : '…');
  };
  tick();
  return setInterval(tick, 250);
}

function explain({ state, reason, detail }, stream) {
  const why = REASONS[reason] ?? whyOf(reason ?? '', detail);
  if (state === 'reconnecting') {
    const text = `${why} What you miss arrives when the connection is back.`;
    const retry = () => {
      stream.disconnect();
      stream.connect();
    };
    notice({ tone: 'warn', text, button: reason === 'offline' ? '' : 'Try now', onClick: retry });
  } else if (state === 'refused') {
    const signIn = SIGNED_OUT.includes(reason) && `/accounts/login/?next=${encodeURIComponent(location.pathname + location.search)}`;
    notice({ tone: 'bad', text: `No live events: ${lowerFirst(why)}`, link: signIn ? ['Sign in', signIn] : null });
  } else {
    element('notice').hidden = true;
  }
}

function notice({ tone, text, link = null, button = '', onClick = null }) {
  element('notice').dataset.tone = tone;
  element('notice-text').textContent = text;
  element('notice-link').hidden = !link;
  if (link) [element('notice-link').textContent, element('notice-link').href] = link;
  Object.assign(element('notice-button'), { hidden: !button, textContent: button, onclick: onClick });
  element('notice').hidden = false;
}

/** What the server says. A proxy says HTML, which is for nobody to read. */
function whyOf(reason, detail) {
  if (reason.startsWith('http_')) return `The server answers with an error (${detail.status}).`;
  return sentence(detail?.detail ?? detail?.error ?? reason);
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function lowerFirst(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
