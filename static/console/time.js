const UNITS = [[86_400, 'd'], [3_600, 'h'], [60, 'm'], [1, 's']];
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

/** `13:04:22.118`, in the reader's time zone. */
export function clockOf(date) {
  return `${clock.format(date)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** Date and time with the zone. */
export function fullTimeOf(date) {
  return full.format(date);
}

/** How long ago: `now`, `12s`, `3m`, `2h`, `5d`. */
export function ageOf(date, now = Date.now()) {
  const seconds = Math.floor((now - date) / 1_000);
  const unit = UNITS.find(([length]) => seconds >= length);
  return unit ? `${Math.floor(seconds / unit[0])}${unit[1]}` : 'now';
}
