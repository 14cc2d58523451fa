import { send } from './requests.js';

/** The form with which staff emit an event. Others have none. */
export function setUpEmit(form) {
  form?.addEventListener('submit', async (event) => {
    event.preventDefault();
    const problem = document.getElementById('emit-error');
    const button = form.querySelector('button');
    problem.hidden = true;
    button.disabled = true;
    try {
      await send(form.action, { body: bodyOf(form), headers: { 'Content-Type': 'application/json' } });
    } catch (error) {
      Object.assign(problem, { textContent: error.message, hidden: false });
    }
    button.disabled = false;
  });
}

function bodyOf({ elements: { type, category, priority, data } }) {
  return JSON.stringify({ type: type.value.trim(), category: category.value, priority: priority.value, data: parse(data.value) });
}

function parse(text) {
  try {
    return JSON.parse(text || '{}');
  } catch {
    throw new Error('The data is not JSON.');
  }
}
