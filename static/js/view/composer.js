/** Where one writes: grows with the text, sends with Enter, counts when it gets long, keeps drafts. */

import { countCharacters, fitsFrame, message } from "../protocol.js";
import { byId, setText } from "./dom.js";

/** The count is shown when this little is left, in characters. */
const COUNT_BELOW = 200;

export class ComposerView {
  #dest = "";

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../storage.js").Box} box  Drafts of this tab.
   * @param {{ say: (dest: string, text: string) => void, key: (dest: string) => void, stop: () => void, sent: () => void }} on
   */
  constructor(store, box, on) {
    this.store = store;
    this.box = box;
    this.on = on;
    this.form = byId("composer");
    this.input = /** @type {HTMLTextAreaElement} */ (byId("composer-input"));
    this.button = /** @type {HTMLButtonElement} */ (byId("composer-send"));
    this.note = byId("composer-note");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("input", () => this.#typed());
    // Tapping the button must not close a phone's keyboard.
    this.button.addEventListener("pointerdown", (event) => event.preventDefault());
    for (const what of ["active", "session"]) store.addEventListener(what, () => this.#switch());
    for (const what of ["log", "conversations"]) store.addEventListener(what, () => this.#judge());
    window.addEventListener("resize", () => this.#grow());
    this.#switch();
  }

  focus() {
    if (window.matchMedia("(pointer: fine)").matches) this.input.focus({ preventScroll: true });
  }

  /** Nobody is signed in any more: what was being written is nobody else's business. */
  forget() {
    for (const key of this.box.keys("draft.")) this.box.remove(key);
    this.input.value = "";
  }

  #switch() {
    const dest = this.store.active;
    if (this.#dest !== dest) {
      this.#dest = dest;
      this.input.value = this.box.read(`draft.${dest}`) ?? "";
    }
    this.#judge();
    this.#grow();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // While an input method composes, Enter takes its suggestion; 229 is what some of them say instead.
    if (event.key !== "Enter" || event.shiftKey || event.altKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#send();
  }

  #typed() {
    const { value } = this.input;
    if (value === "") this.box.remove(`draft.${this.#dest}`);
    else this.box.write(`draft.${this.#dest}`, value);
    if (value.trim() === "") this.on.stop();
    else this.on.key(this.#dest);
    this.#judge();
    this.#grow();
  }

  #send() {
    const text = this.input.value.trim();
    if (text === "" || this.#tooLong(text) || this.input.disabled) return;
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
    return text.length * 6 > limits.frame / 2 && !fitsFrame(message("x".repeat(36), this.#dest, { text }), limits.frame);
  }

  /** Whether it can be sent, and what there is to say about it. */
  #judge() {
    const conversation = this.store.current;
    const closed = conversation.oneWay || conversation.problem !== null;
    this.input.disabled = closed;
    this.input.placeholder = conversation.oneWay ? "This device cannot be answered" : closed ? "You cannot write here"
      : `Message ${conversation.isPublic ? "everybody" : this.store.titleOf(conversation)}`;
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
