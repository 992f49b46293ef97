/**
 * Typing, both ways: what this page says about its own user, and who else is at it.
 */

const REPEAT_MS = 3_000;
const IDLE_MS = 4_000;
/** The server ends it after 6 s; this is for the case that its word got lost. */
const EXPIRES_MS = 7_000;

/** Tells the server, but not at every key. */
export class OwnTyping {
  /** @type {string | null} */
  #dest = null;
  #saidAt = 0;
  /** @type {any} */
  #idle = null;

  /**
   * @param {(dest: string, typing: boolean) => void} say
   * @param {import("./clock.js").Clock} clock
   */
  constructor(say, clock) {
    this.say = say;
    this.clock = clock;
  }

  /** @param {string} dest */
  key(dest) {
    if (this.#dest !== null && this.#dest !== dest) this.stop();
    const now = this.clock.now();
    if (this.#dest === null || now - this.#saidAt >= REPEAT_MS) {
      this.#dest = dest;
      this.#saidAt = now;
      this.say(dest, true);
    }
    this.clock.clear(this.#idle);
    this.#idle = this.clock.set(() => this.stop(), IDLE_MS);
  }

  /** Sent, emptied, or idle. */
  stop() {
    if (this.#dest === null) return;
    this.clock.clear(this.#idle);
    const dest = this.#dest;
    this.#dest = null;
    this.say(dest, false);
  }
}

/** Who is typing in one conversation. */
export class OthersTyping {
  /** @type {Map<string, { name: string, timer: any }>} */
  #people = new Map();

  /**
   * @param {() => void} changed
   * @param {import("./clock.js").Clock} clock
   */
  constructor(changed, clock) {
    this.changed = changed;
    this.clock = clock;
  }

  /** @returns {string[]} */
  get names() {
    return [...this.#people.values()].map((person) => person.name);
  }

  /** @param {string} id @param {string} name @param {boolean} typing */
  set(id, name, typing) {
    const before = this.#people.get(id);
    this.clock.clear(before?.timer);
    if (typing) {
      this.#people.set(id, { name, timer: this.clock.set(() => this.set(id, name, false), EXPIRES_MS) });
    } else this.#people.delete(id);
    if (typing !== (before !== undefined)) this.changed();
  }

  clear() {
    for (const person of this.#people.values()) this.clock.clear(person.timer);
    const any = this.#people.size > 0;
    this.#people.clear();
    if (any) this.changed();
  }
}
