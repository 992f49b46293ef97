/** The field that searches, and what was found; a click on a result goes to the message. */

import { shortTime, moment, sentence } from "../format.js";
import { finder, snippet } from "../highlight.js";
import { byId, copyOf, part, setText } from "./dom.js";

/** After the last key, in ms. */
const PAUSE = 250;

export class SearchView {
  /** @type {any} */
  #timer = null;

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../search.js").Search} search
   * @param {{ goTo: (dest: string, seq: number) => void, reveal: () => void }} on
   */
  constructor(store, search, on) {
    this.store = store;
    this.search = search;
    this.on = on;
    this.form = /** @type {HTMLFormElement} */ (byId("search-form"));
    this.input = /** @type {HTMLInputElement} */ (byId("search-input"));
    this.clearButton = byId("search-clear");
    this.scope = byId("search-scope");
    this.panel = byId("search-panel");
    this.status = byId("search-status");
    this.list = byId("search-results");
    this.#listen();
  }

  /** Nobody is signed in any more. */
  forget() {
    this.input.value = "";
    this.#end();
  }

  #listen() {
    this.search.addEventListener("change", () => this.#show());
    this.store.addEventListener("active", () => this.#nameScope());
    this.store.addEventListener("rooms", () => this.#nameScope());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      if (this.input.value.trim() === "") this.#end();
      else this.#timer = setTimeout(() => this.#ask(), PAUSE);
    });
    this.scope.addEventListener("change", () => this.#ask());
    this.clearButton.addEventListener("click", () => {
      this.forget();
      this.input.focus();
    });
    for (const element of [this.form, this.panel]) element.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || byId("app").hidden) return;
      event.preventDefault();
      this.on.reveal();
      this.input.focus();
      this.input.select();
    });
    this.list.addEventListener("click", (event) => {
      const { dest, seq } = /** @type {Element} */ (event.target).closest("button")?.dataset ?? {};
      if (dest !== undefined) this.on.goTo(dest, Number(seq));
    });
  }

  #ask() {
    clearTimeout(this.#timer);
    const here = new FormData(this.form).get("scope") === "here";
    void this.search.ask(this.input.value, here ? this.store.active : null);
  }

  #end() {
    clearTimeout(this.#timer);
    this.search.clear();
  }

  #nameScope() {
    setText(byId("search-here-label"), `In ${this.store.titleOf(this.store.current)}`);
  }

  #show() {
    const { active, busy, found, more, problem, q } = this.search;
    const begun = active || this.input.value.trim() !== "";
    this.clearButton.hidden = this.scope.hidden = !begun;
    this.panel.hidden = !active;
    for (const id of ["conversations-panel", "people-panel"]) byId(id).hidden = active;
    this.#nameScope();
    this.panel.setAttribute("aria-busy", String(busy));
    const expression = finder(q);
    this.list.replaceChildren(...found.map((one) => this.#row(one, expression)));
    if (!active) setText(this.status, "");
    else if (busy && found.length === 0) setText(this.status, "Searching…");
    else if (problem !== null) setText(this.status, sentence(problem));
    else if (found.length === 0) setText(this.status, "No message has that in it.");
    else if (!busy) setText(this.status, more ? `The newest ${found.length} messages` : found.length === 1 ? "1 message" : `${found.length} messages`);
  }

  /** @param {{ dest: string, entry: import("../protocol.js").Entry }} found @param {RegExp | null} expression */
  #row({ dest, entry }, expression) {
    const row = copyOf("found-template");
    const button = part(row, "button");
    button.dataset.dest = dest;
    button.dataset.seq = String(entry.seq);
    const own = entry.from === this.store.me?.id;
    setText(part(row, ".row-title"), own ? "You" : entry.name);
    const time = /** @type {HTMLTimeElement} */ (part(row, "time"));
    setText(time, shortTime(entry.time, Date.now()));
    time.dateTime = new Date(entry.time).toISOString();
    time.title = moment(entry.time);
    setText(part(row, ".found-where"), `in ${this.store.titleAt(dest)}`);
    const text = typeof entry.data?.text === "string" ? entry.data.text : JSON.stringify(entry.data ?? null);
    part(row, ".found-text").replaceChildren(...snippet(text, expression).map((piece) => {
      if (!piece.found) return document.createTextNode(piece.text);
      const mark = document.createElement("mark");
      mark.textContent = piece.text;
      return mark;
    }));
    return row;
  }

  /** Down from the field into the results and back; Escape ends the search. @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape" && (this.search.active || this.input.value !== "")) {
      event.preventDefault();
      this.forget();
      this.input.focus();
      return;
    }
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("fieldset") !== null) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0) return;
    const stops = /** @type {HTMLElement[]} */ ([this.input, ...this.list.querySelectorAll("button")]);
    const next = stops[stops.indexOf(target) + step];
    if (next === undefined) return;
    event.preventDefault();
    next.focus();
  }
}
