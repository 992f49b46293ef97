/**
 * How long to wait before the next attempt to connect. Half of the delay is random, so that the
 * thousand pages which lost the same server do not all come back in the same instant.
 */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * @param {number} attempt  0 for the first retry.
 * @param {() => number} random  Like `Math.random`.
 * @returns {number} Milliseconds.
 */
export function backoff(attempt, random) {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(ceiling / 2 + (ceiling / 2) * random());
}

/**
 * The server has said when to come back: never earlier, and a little spread out.
 * @param {number} retryAfter  Milliseconds.
 * @param {() => number} random
 * @returns {number} Milliseconds.
 */
export function after(retryAfter, random) {
  const wait = Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : 0;
  return Math.round(wait + Math.min(1000, 100 + wait * 0.1) * random());
}
