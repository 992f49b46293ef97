/** A sentence that somebody should hear, for a while. */

import { byId } from "./dom.js";

const SHOWN_MS = 8_000;

export class NoticeView {
  /** @type {any} */
  #timer = null;

  /** @param {import("../store.js").Store} store */
  constructor(store) {
    this.line = byId("notice");
    store.addEventListener("notice", (event) => this.show(/** @type {CustomEvent<string>} */ (event).detail));
    this.line.addEventListener("click", () => this.show(""));
  }

  /** @param {string} sentence */
  show(sentence) {
    clearTimeout(this.#timer);
    this.line.textContent = sentence;
    if (sentence !== "") this.#timer = setTimeout(() => this.show(""), SHOWN_MS);
  }
}
