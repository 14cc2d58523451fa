const QUIET = 5_000;

const region = document.getElementById('announcer');
let arrived = 0;
let timer = null;

/** Tells people who can't see the page. */
export function announce(text) {
  region.textContent = text;
}

/** Tells how many events arrived, at most once in five seconds. */
export function announceArrival(number) {
  arrived += number;
  timer ??= setTimeout(() => {
    announce(arrived === 1 ? '1 new event' : `${arrived} new events`);
    arrived = 0;
    timer = null;
  }, QUIET);
}
