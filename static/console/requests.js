let tellSignedOut = () => {};

/** Sends a request with the CSRF token of the page. Gives the answer's JSON (null without), throws an Error for people. */
export async function send(url, { method = 'POST', body, headers = {} } = {}) {
  const token = document.querySelector('[name=csrfmiddlewaretoken]').value;
  let response;
  try {
    response = await fetch(url, { method, body, headers: { Accept: 'application/json', 'X-CSRFToken': token, ...headers } });
  } catch {
    throw new Error('The server can’t be reached. Try again.');
  }
  if (response.redirected || response.status === 401) {
    tellSignedOut();
    throw new Error('You are signed out.');
  }
  const text = await response.text();
  const answer = readJson(text);
  if (!response.ok) throw new Error(problemOf(answer, response.status));
  return answer;
}

/** Calls back when an answer says that nobody is signed in any more. */
export function onSignedOut(callback) {
  tellSignedOut = callback;
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function problemOf(answer, status) {
  if (status === 403) return answer?.detail ?? 'Not allowed. Reload the page and try again.';
  if (!answer) return `The server answered with an error (${status}).`;
  if (answer.detail) return answer.field && answer.field !== 'file' ? `${answer.field}: ${answer.detail}` : answer.detail;
  return Object.entries(answer).map(([field, problem]) => `${field}: ${[problem].flat().join(' ')}`).join('\n');
}
