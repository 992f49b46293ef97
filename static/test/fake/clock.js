/** A clock that is turned by hand. @typedef {import("../../js/clock.js").Clock} Clock */

/** @implements {Clock} */
export class FakeClock {
  #now = 1_700_000_000_000;
  #next = 1;
  /** @type {Map<number, { at: number, run: () => void }>} */
  #timers = new Map();

  now = () => this.#now;

  /** @param {() => void} run @param {number} ms */
  set = (run, ms) => {
    const timer = this.#next;
    this.#next += 1;
    this.#timers.set(timer, { at: this.#now + ms, run });
    return timer;
  };

  /** @param {number | null | undefined} timer */
  clear = (timer) => void this.#timers.delete(timer ?? 0);

  get waiting() {
    return this.#timers.size;
  }

  /** Lets time pass, running what falls due in order. @param {number} ms */
  pass(ms) {
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].run();
    }
    this.#now = until;
  }
}

/** Lets promises that are settled run on. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));
