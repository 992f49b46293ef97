/**
 * Who is in a conversation and who was: the summary that `join` gives, the pages of `roster`,
 * and the changes of `presence`, in one place. What is newer wins.
 *
 * @typedef {import("./protocol.js").Person} Person
 */

export class Roster {
  /** @type {Map<string, Person>} */
  #people = new Map();
  /** How many are online, as the server counts. */
  online = 0;
  /** Whether every page of the roster has been read. */
  complete = false;
  /** The user id to go on after. @type {string | null} */
  cursor = null;

  get size() {
    return this.#people.size;
  }

  /** The ids of those who are online. @returns {string[]} */
  get here() {
    return [...this.#people.values()].filter((person) => person.state === "online").map((person) => person.id);
  }

  /** @param {string} id */
  get(id) {
    return this.#people.get(id);
  }

  /**
   * The answer to `join`: those online first. Whoever was thought online and is not in it has gone meanwhile,
   * unless it was cut off.
   * @param {Person[]} people @param {number} online
   */
  begin(people, online) {
    const here = people.filter((person) => person.state === "online").length;
    if (here >= online) {
      for (const person of this.#people.values()) person.state = "offline";
    }
    for (const person of people) this.#put(person, person.state ?? "offline");
    this.online = online;
    this.complete = false;
    this.cursor = null;
  }

  /** @param {Person[]} people  A page, by user id. @param {boolean} more */
  page(people, more) {
    for (const person of people) this.#put(person, person.state ?? "offline");
    this.cursor = people.at(-1)?.id ?? this.cursor;
    this.complete = !more || people.length === 0;
  }

  /** @param {Person[]} joined @param {Person[]} left @param {number | undefined} online */
  change(joined, left, online) {
    for (const person of joined) this.#put(person, "online");
    for (const person of left) this.#put(person, "offline");
    this.online = online ?? this.#count();
  }

  /** @param {string} id @param {"online" | "offline"} state @param {number | null} lastSeen */
  setState(id, state, lastSeen) {
    const known = this.#people.get(id);
    if (known !== undefined) this.#put({ ...known, last_seen: lastSeen ?? known.last_seen ?? null }, state);
  }

  /** Those online by name, then the others, who was here last first. @returns {Person[]} */
  list() {
    const collator = new Intl.Collator(undefined, { sensitivity: "base", numeric: true });
    return [...this.#people.values()].sort((a, b) => {
      if (a.state !== b.state) return a.state === "online" ? -1 : 1;
      if (a.state === "offline" && (a.last_seen ?? 0) !== (b.last_seen ?? 0)) return (b.last_seen ?? 0) - (a.last_seen ?? 0);
      return collator.compare(a.name, b.name) || (a.id < b.id ? -1 : 1);
    });
  }

  /** @param {Person} person @param {"online" | "offline"} state */
  #put(person, state) {
    if (typeof person?.id !== "string") return;
    const before = this.#people.get(person.id);
    this.#people.set(person.id, {
      id: person.id,
      name: person.name ?? before?.name ?? person.id,
      state,
      last_seen: person.last_seen ?? before?.last_seen ?? null,
    });
  }

  #count() {
    let count = 0;
    for (const person of this.#people.values()) if (person.state === "online") count += 1;
    return count;
  }
}
