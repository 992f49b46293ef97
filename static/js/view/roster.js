/** Who is online, and who was last seen when. A click on a person opens a private conversation. */

import { lastSeen } from "../format.js";
import { isUserId, privateWith } from "../protocol.js";
import { showPerson } from "./avatar.js";
import { arrange, byId, coalesced, copyOf, part, setAttribute, setText } from "./dom.js";

/** Rows at a time, so that thousands of people do not slow down a phone. */
const STEP = 100;
const MINUTE_MS = 60_000;

export class RosterView {
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  #shown = STEP;

  /**
   * @param {import("../store.js").Store} store
   * @param {{ open: (dest: string) => void, more: (conversation: import("../conversation.js").Conversation) => Promise<void> }} on
   */
  constructor(store, on) {
    this.store = store;
    this.list = byId("roster");
    this.moreButton = /** @type {HTMLButtonElement} */ (byId("roster-more"));
    const update = coalesced(() => this.update());
    for (const what of ["session", "active", "roster"]) store.addEventListener(what, update);
    store.addEventListener("session", () => (this.#shown = STEP));
    setInterval(update, MINUTE_MS);
    this.list.addEventListener("click", (event) => {
      const user = /** @type {Element} */ (event.target).closest("li")?.dataset.user;
      if (user !== undefined && isUserId(user)) on.open(privateWith(user));
    });
    this.moreButton.addEventListener("click", async () => {
      this.#shown += STEP;
      const { roster } = this.#conversation;
      if (roster.size < this.#shown && !roster.complete) {
        this.moreButton.disabled = true;
        await on.more(this.#conversation);
        this.moreButton.disabled = false;
      }
      this.update();
    });
  }

  /** A room has people of its own; beside a private conversation stand those of the public one. */
  get #conversation() {
    const { current } = this.store;
    return current.with === null ? current : this.store.conversation("public");
  }

  update() {
    const { roster } = this.#conversation;
    setText(byId("online-count"), String(roster.online));
    const people = roster.list();
    const rows = new Map(people.slice(0, this.#shown).map((person) => [person.id, this.#row(person)]));
    this.#rows = rows;
    arrange(this.list, [...rows.values()]);
    this.moreButton.hidden = people.length <= this.#shown && (roster.complete || people.length < STEP);
  }

  /** @param {import("../protocol.js").Person} person @returns {HTMLElement} */
  #row(person) {
    const row = this.#rows.get(person.id) ?? copyOf("person-template");
    const self = person.id === this.store.me?.id;
    setAttribute(row, "data-user", person.id);
    setAttribute(row, "data-state", person.state ?? "offline");
    setText(part(row, ".row-title"), person.name);
    setText(part(row, ".row-detail"), person.state === "online" ? "online" : lastSeen(person.last_seen, Date.now()));
    part(row, ".you").hidden = !self;
    setAttribute(part(row, "button"), "title", self ? "Notes to yourself" : `Write to ${person.name}`);
    showPerson(part(row, ".avatar"), person.id, person.name);
    return row;
  }
}
