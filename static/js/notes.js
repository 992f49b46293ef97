/**
 * "Ann, Bob and 3 others joined": the comings and goings between two messages, folded into one line.
 *
 * @typedef {object} Note
 * @property {string} key
 * @property {number} after  The newest seq when it happened.
 * @property {number} time
 * @property {Map<string, { name: string, first: Move, last: Move }>} moves
 * @typedef {"joined" | "left"} Move
 */

/** Older lines are dropped: they are not of the log, and nobody scrolls back for them. */
const LINES_AT_MOST = 200;

export class Notes {
  /** @type {Note[]} */
  lines = [];
  #count = 0;

  /**
   * @param {number} after  The newest seq of the conversation.
   * @param {number} time
   * @param {{ id: string, name: string }[]} joined
   * @param {{ id: string, name: string }[]} left
   */
  add(after, time, joined, left) {
    let line = this.lines.at(-1);
    if (line === undefined || line.after !== after) {
      line = { key: `note-${(this.#count += 1)}`, after, time, moves: new Map() };
      this.lines.push(line);
      if (this.lines.length > LINES_AT_MOST) this.lines.shift();
    }
    for (const person of left) move(line, person, "left");
    for (const person of joined) move(line, person, "joined");
  }

  clear() {
    this.lines = [];
  }
}

/** @param {Note} line @param {{ id: string, name: string }} person @param {Move} what */
function move(line, person, what) {
  const before = line.moves.get(person.id);
  line.moves.set(person.id, { name: person.name, first: before?.first ?? what, last: what });
}

/**
 * What a line says, in parts. Somebody who left and is back again is not worth a word.
 * @param {Note} note
 * @returns {{ joined: string[], left: string[], passed: string[] }} Names.
 */
export function outcome(note) {
  const moves = [...note.moves.values()];
  /** @param {Move} first @param {Move} last */
  const names = (first, last) => moves.filter((m) => m.first === first && m.last === last).map((m) => m.name);
  return { joined: names("joined", "joined"), left: names("left", "left"), passed: names("joined", "left") };
}
