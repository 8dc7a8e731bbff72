// Time as the server has it, in milliseconds, and since when what is shown was confirmed.

let offsets = [], trueAsOf = 0, confirmedAt = 0;

// An answer that took long says a time that is past, so the latest counts; of the last few, for clocks are set.
export const serverNow = () => Math.max(...offsets) + performance.now();
export const observe = (asOf) => { offsets = [...offsets.slice(-9), asOf - performance.now()]; };

// All that is shown was true at this time.
export function confirm(asOf) {
  trueAsOf = asOf;
  confirmedAt = Date.now() - Math.max(0, serverNow() - asOf);
}

export const confirmed = () => trueAsOf;
// Sleep stops one of the browser's clocks; the other one goes on.
export const age = () => Math.max(serverNow() - trueAsOf, Date.now() - confirmedAt, 0);

// As wording.duration has it.
export function duration(time) {
  const seconds = Math.max(0, Math.floor(time / 1000)), minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  const two = (large, unit, small, smallUnit) => `${large} ${unit}` + (small ? ` ${small} ${smallUnit}` : "");
  if (seconds < 60) return `${seconds} s`;
  if (minutes < 60) return `${minutes} min`;
  return hours < 24 ? two(hours, "h", minutes % 60, "min") : two(Math.floor(hours / 24), "d", hours % 24, "h");
}

export const timeOfDay = (time) => new Date(time).toLocaleTimeString([], { hourCycle: "h23" });
