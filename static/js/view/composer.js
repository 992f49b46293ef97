/** Where one writes, or changes what one has written: grows with the text, sends with Enter, counts when it gets long, keeps drafts. */

import { countCharacters, dataMessage, fitsFrame } from "../protocol.js";
import { byId, setText } from "./dom.js";

/** @typedef {import("../protocol.js").Entry} Entry */

/** The count is shown when this little is left, in characters. */
const COUNT_BELOW = 200;

export class ComposerView {
  #dest = "";
  /** The message that is being changed. @type {Entry | null} */
  #editing = null;

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../storage.js").Box} box  Drafts of this tab.
   * @param {object} on
   * @param {(dest: string, text: string) => void} on.say
   * @param {(dest: string, message: Entry, text: string) => void} on.change
   * @param {() => Entry | null} on.last  The message that arrow-up is about.
   * @param {(dest: string) => void} on.key
   * @param {() => void} on.stop
   * @param {() => void} on.sent
   */
  constructor(store, box, on) {
    this.store = store;
    this.box = box;
    this.on = on;
    this.form = byId("composer");
    this.input = /** @type {HTMLTextAreaElement} */ (byId("composer-input"));
    this.button = /** @type {HTMLButtonElement} */ (byId("composer-send"));
    this.note = byId("composer-note");
    this.bar = byId("edit-bar");
    byId("edit-cancel").addEventListener("click", () => this.cancel());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("input", () => this.#typed());
    // Tapping the button must not close a phone's keyboard.
    this.button.addEventListener("pointerdown", (event) => event.preventDefault());
    for (const what of ["active", "session"]) store.addEventListener(what, () => this.#switch());
    for (const what of ["log", "conversations", "rooms"]) store.addEventListener(what, () => this.#judge());
    window.addEventListener("resize", () => this.#grow());
    this.#switch();
  }

  focus() {
    if (window.matchMedia("(pointer: fine)").matches) this.input.focus({ preventScroll: true });
  }

  /** Nobody is signed in any more: what was being written is nobody else's business. */
  forget() {
    for (const key of this.box.keys("draft.")) this.box.remove(key);
    this.#editing = null;
    this.bar.hidden = true;
    this.input.value = "";
  }

  /** Takes a message of one's own back into the hand. @param {Entry} message */
  edit(message) {
    this.#editing = message;
    this.bar.hidden = false;
    this.input.value = message.data.text;
    this.input.focus();
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
    this.#judge();
    this.#grow();
  }

  /** The message stays as it is; the draft is back. */
  cancel() {
    if (this.#editing === null) return;
    this.#editing = null;
    this.bar.hidden = true;
    this.on.stop();
    this.input.value = this.#draft;
    this.input.focus();
    this.#judge();
    this.#grow();
  }

  /** @returns {string} */
  get #draft() {
    return this.box.read(`draft.${this.#dest}`) ?? "";
  }

  #switch() {
    const dest = this.store.active;
    if (this.#dest !== dest) {
      this.#dest = dest;
      this.#editing = null;
      this.bar.hidden = true;
      this.input.value = this.#draft;
    }
    this.#judge();
    this.#grow();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // While an input method composes, Enter takes its suggestion; 229 is what some of them say instead.
    if (event.shiftKey || event.altKey || event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") this.cancel();
    if (event.key === "ArrowUp" && this.input.value === "" && this.#editing === null) {
      const last = this.on.last();
      if (last === null) return;
      event.preventDefault();
      this.edit(last);
    }
    if (event.key !== "Enter") return;
    event.preventDefault();
    this.#send();
  }

  #typed() {
    const { value } = this.input;
    if (this.#editing === null && value === "") this.box.remove(`draft.${this.#dest}`);
    else if (this.#editing === null) this.box.write(`draft.${this.#dest}`, value);
    if (value.trim() === "") this.on.stop();
    else this.on.key(this.#dest);
    this.#judge();
    this.#grow();
  }

  #send() {
    const text = this.input.value.trim();
    if (text === "" || this.#tooLong(text) || this.input.disabled) return;
    const message = this.#editing;
    if (message !== null) {
      this.cancel();
      if (text !== message.data.text) this.on.change(this.#dest, message, text);
      return;
    }
    this.input.value = "";
    this.box.remove(`draft.${this.#dest}`);
    this.#judge();
    this.#grow();
    this.on.say(this.#dest, text);
    this.on.sent();
  }

  /** @param {string} text */
  #tooLong(text) {
    const { limits } = this.store;
    if (text.length > 2 * limits.text || countCharacters(text) > limits.text) return true;
    if (text.length * 6 <= limits.frame / 2) return false;
    const data = this.#editing === null ? { text } : { target: this.#editing.id, author: this.#editing.from, text };
    return !fitsFrame(dataMessage({ type: "edit", id: "x".repeat(36), dest: this.#dest, data }), limits.frame);
  }

  /** Whether it can be sent, and what there is to say about it. */
  #judge() {
    const conversation = this.store.current;
    const closed = conversation.oneWay || conversation.problem !== null;
    this.input.disabled = closed;
    this.input.placeholder = conversation.oneWay ? "This device cannot be answered" : closed ? "You cannot write here"
      : `Message ${conversation.isPublic ? "everybody" : this.store.titleOf(conversation)}`;
    this.button.setAttribute("aria-label", this.#editing === null ? "Send" : "Save the change");
    const text = this.input.value.trim();
    const tooLong = this.#tooLong(text);
    this.button.disabled = closed || text === "" || tooLong;
    const left = text.length > this.store.limits.text / 2 - COUNT_BELOW ? this.store.limits.text - countCharacters(text) : Infinity;
    this.note.dataset.tone = tooLong ? "danger" : "";
    if (tooLong) setText(this.note, left < 0 ? `${(-left).toLocaleString("en")} characters too long` : "This message is too long to be sent");
    else setText(this.note, left <= COUNT_BELOW ? `${left} characters left` : "");
  }

  #grow() {
    const { style } = this.input;
    style.height = "auto";
    if (this.input.scrollHeight > 0) style.height = `${this.input.scrollHeight}px`;
  }
}
