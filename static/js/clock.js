/**
 * Time as an argument, so that tests can turn it by hand.
 *
 * @typedef {object} Clock
 * @property {() => number} now  Unix time in ms.
 * @property {(run: () => void, ms: number) => any} set
 * @property {(timer: any) => void} clear
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  set: (run, ms) => setTimeout(run, ms),
  clear: (timer) => clearTimeout(timer),
};
