/**
 * Which part of a log the page shows: a run of at most ROWS_AT_MOST entries. It sticks to the end while one
 * is there; otherwise it stands still, and moves only where one scrolls to.
 *
 * @typedef {{ key: string, offset: number }} Anchor  A row, and where it stood in the view.
 */

export const ROWS_AT_MOST = 400;
const FIRST_ROWS = 60;
const STEP = 60;
/** Entries kept in memory while one is at the end. */
const KEEP = 1000;

export class LogWindow {
  /** First and last seq shown; 0 for nothing. */
  from = 0;
  to = 0;
  /** The newest seq at the last look: the window grows with the log only if it ended there. */
  #last = 0;
  /** Whether it sticks to the end. */
  follow = true;
  /** What stood at the top, when one has left. @type {Anchor | null} */
  anchor = null;

  /** Whether it ends where the log ended at the last look: what came since is not something one scrolled away from. */
  get atTail() {
    return this.to >= this.#last;
  }

  /** Fits the window to what the log holds now. @param {import("./log.js").Log} log */
  place(log) {
    if (log.size === 0) {
      this.from = this.to = this.#last = 0;
      this.follow = true;
      return;
    }
    if (this.follow && log.size > 2 * KEEP) log.trim(KEEP);
    const lost = this.to === 0 || this.to < log.first || this.from > log.last;
    if (lost) this.follow = true;
    if (this.follow) {
      if (lost || this.to < log.last - ROWS_AT_MOST) this.from = log.last - FIRST_ROWS + 1;
      this.to = log.last;
      this.from = Math.max(this.from, this.to - ROWS_AT_MOST + 1);
    } else if (this.atTail) {
      this.to = Math.min(log.last, this.from + ROWS_AT_MOST - 1);
    }
    this.from = Math.max(this.from, log.first);
    this.#last = log.last;
  }

  /** Stands around an entry. @param {import("./log.js").Log} log @param {number} seq */
  show(log, seq) {
    this.from = Math.max(log.first, seq - STEP / 2);
    this.to = Math.min(log.last, seq + STEP / 2);
    this.#last = log.last;
    this.follow = false;
    this.anchor = null;
  }

  /** Moves up a step. @param {import("./log.js").Log} log @returns {boolean} False where the log has nothing older. */
  up(log) {
    if (this.from <= log.first) return false;
    this.from = Math.max(log.first, this.from - STEP);
    const to = Math.min(this.to, this.from + ROWS_AT_MOST - 1);
    if (to < this.to) this.follow = false;
    this.to = to;
    return true;
  }

  /** Moves down a step. @param {import("./log.js").Log} log @returns {boolean} False where the log has nothing newer. */
  down(log) {
    if (this.to >= log.last) return false;
    this.to = Math.min(log.last, this.to + STEP);
    this.from = Math.max(this.from, this.to - ROWS_AT_MOST + 1);
    return true;
  }
}
