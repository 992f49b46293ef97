/** A field that finds people by name or user id: those whom this page has met, or anybody whose id is typed in full. */

import { isUserId } from "../protocol.js";
import { showPerson } from "./avatar.js";
import { arrange, copyOf, part, setText } from "./dom.js";

const SUGGESTIONS = 5;

/** @typedef {import("../protocol.js").User} User */

export class PeoplePicker {
  /**
   * @param {HTMLElement} root  Of index.html, with an input and a list for suggestions.
   * @param {import("../store.js").Store} store
   * @param {{ pick: (user: User) => void, excluded: () => Set<string> }} on
   */
  constructor(root, store, on) {
    this.store = store;
    this.on = on;
    this.input = /** @type {HTMLInputElement} */ (part(root, "[data-part=input]"));
    this.list = part(root, "[data-part=suggestions]");
    this.input.addEventListener("input", () => this.#suggest());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      const first = this.#fitting()[0];
      if (first !== undefined) this.#pick(first);
    });
    this.list.addEventListener("click", (event) => {
      const { user, name = "" } = /** @type {Element} */ (event.target).closest("button")?.dataset ?? {};
      if (user !== undefined) this.#pick({ id: user, name });
    });
  }

  /** What is typed and was not picked, if it can only mean one person. @returns {User | null} */
  get rest() {
    return this.#fitting()[0] ?? null;
  }

  get empty() {
    return this.input.value.trim() === "";
  }

  clear() {
    this.input.value = "";
    this.#suggest();
  }

  /** @param {User} user */
  #pick(user) {
    this.clear();
    this.input.focus();
    this.on.pick(user);
  }

  #suggest() {
    const people = this.#fitting();
    this.list.hidden = people.length === 0;
    arrange(this.list, people.map((person) => {
      const row = copyOf("suggestion-template");
      const button = part(row, "button");
      button.dataset.user = person.id;
      button.dataset.name = person.name;
      setText(part(row, ".row-title"), person.name);
      setText(part(row, ".row-detail"), person.met ? person.id : "by user id");
      showPerson(part(row, ".avatar"), person.id, person.name);
      return row;
    }));
  }

  /** Those who fit what is typed, the best first. @returns {(User & { met: boolean })[]} */
  #fitting() {
    const wanted = this.input.value.trim().toLowerCase();
    if (wanted === "") return [];
    const excluded = this.on.excluded();
    const people = this.store.people().filter(({ id }) => !excluded.has(id) && isUserId(id))
      .map((person) => ({ ...person, met: true }));
    const rank = (/** @type {User} */ { id, name }) => {
      const shown = name.toLowerCase();
      if (id === wanted || shown === wanted) return 0;
      if (id.startsWith(wanted) || shown.startsWith(wanted)) return 1;
      return shown.includes(wanted) || id.includes(wanted) ? 2 : 3;
    };
    const fitting = people.filter((person) => rank(person) < 3).sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
    if (isUserId(wanted) && !excluded.has(wanted) && !fitting.some(({ id }) => id === wanted)) fitting.splice(SUGGESTIONS - 1, Infinity, { id: wanted, name: wanted, met: false });
    return fitting.slice(0, SUGGESTIONS);
  }
}
