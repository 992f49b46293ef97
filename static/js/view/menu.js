/** What can be done with a message: react, edit, copy, delete. Opens beside the message. */

import { confirmed } from "./confirm.js";
import { byId } from "./dom.js";

/** A small picker; every reaction that others gave can be joined with a click on it. */
const EMOJI = [
  ["👍", "thumbs up"], ["👎", "thumbs down"], ["❤️", "heart"], ["😂", "laughing"], ["😊", "smiling"], ["😮", "surprised"], ["😢", "sad"],
  ["😡", "angry"], ["🎉", "party"], ["🙏", "thank you"], ["👏", "applause"], ["🔥", "fire"], ["✅", "done"], ["👀", "looking"],
];
const MARGIN = 8;

/** @typedef {import("../protocol.js").Entry} Entry */

export class MessageMenu {
  /** @type {{ dest: string, entry: Entry } | null} */
  #about = null;

  /**
   * @param {import("../store.js").Store} store
   * @param {object} on
   * @param {(dest: string, entry: Entry, emoji: string, on: boolean) => void} on.react
   * @param {(dest: string, entry: Entry) => void} on.edit
   * @param {(dest: string, entry: Entry) => void} on.delete
   */
  constructor(store, on) {
    this.store = store;
    this.on = on;
    this.menu = byId("message-menu");
    this.editItem = byId("menu-edit");
    this.copyItem = byId("menu-copy");
    this.deleteItem = byId("menu-delete");
    byId("menu-emoji").append(...EMOJI.map(([emoji = "", name = ""]) => this.#emojiButton(emoji, name)));
    this.editItem.addEventListener("click", () => this.#choose(({ dest, entry }) => on.edit(dest, entry)));
    this.copyItem.addEventListener("click", () => this.#choose(({ entry }) => void this.#copy(entry.data.text)));
    this.deleteItem.addEventListener("click", () => this.#choose((about) => void this.#delete(about)));
    this.menu.addEventListener("keydown", (event) => this.#key(event));
    byId("timeline").addEventListener("scroll", () => this.#hide(), { passive: true });
    window.addEventListener("resize", () => this.#hide());
  }

  /**
   * @param {string} dest
   * @param {Entry} entry  As it is shown.
   * @param {Element} beside
   */
  open(dest, entry, beside) {
    if (entry.deleted === true) return;
    this.#about = { dest, entry };
    const own = entry.from === this.store.me?.id;
    const text = typeof entry.data?.text === "string";
    this.editItem.hidden = !own || !text;
    this.copyItem.hidden = !text || navigator.clipboard === undefined;
    this.deleteItem.hidden = !own && !this.store.owns(this.store.roomOf(this.store.conversation(dest)));
    for (const button of this.#emojiButtons) {
      button.setAttribute("aria-pressed", String(this.#given(entry, button.dataset.emoji ?? "")));
    }
    this.menu.showPopover();
    this.#place(beside.getBoundingClientRect(), own);
    this.#emojiButtons[0]?.focus({ preventScroll: true });
  }

  /** Reacts, or takes the own reaction back. @param {string} dest @param {Entry} entry @param {string} emoji */
  toggle(dest, entry, emoji) {
    this.on.react(dest, entry, emoji, !this.#given(entry, emoji));
  }

  /** @param {{ dest: string, entry: Entry }} about */
  async #delete({ dest, entry }) {
    const own = entry.from === this.store.me?.id;
    const agreed = await confirmed({
      title: "Delete this message?",
      text: own ? "Its text goes for everybody, for good." : `It is a message of ${entry.name}. Its text goes for everybody, for good.`,
      action: "Delete",
    });
    if (agreed) this.on.delete(dest, entry);
  }

  /** @param {string} text */
  async #copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      this.store.tell("Copied.");
    } catch {
      this.store.tell("This browser did not let the page copy the text.");
    }
  }

  /** @param {(about: { dest: string, entry: Entry }) => void} run */
  #choose(run) {
    const about = this.#about;
    this.#hide();
    if (about !== null) run(about);
  }

  #hide() {
    if (this.menu.matches(":popover-open")) this.menu.hidePopover();
    this.#about = null;
  }

  get #emojiButtons() {
    return /** @type {HTMLButtonElement[]} */ ([...byId("menu-emoji").children]);
  }

  /** @param {string} emoji @param {string} name */
  #emojiButton(emoji, name) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "menu-emoji-button";
    button.textContent = emoji;
    button.dataset.emoji = emoji;
    button.dataset.testid = "menu-react";
    button.setAttribute("aria-label", name);
    button.addEventListener("click", () => this.#choose(({ dest, entry }) => this.toggle(dest, entry, emoji)));
    return button;
  }

  /** @param {Entry} entry @param {string} emoji */
  #given({ reactions }, emoji) {
    return reactions?.[emoji]?.includes(this.store.me?.id ?? "") ?? false;
  }

  /** Below the message, or above it where there is no room; never over the edge of the screen. @param {DOMRect} beside @param {boolean} atEnd */
  #place(beside, atEnd) {
    const { width, height } = this.menu.getBoundingClientRect();
    const below = beside.bottom + MARGIN;
    const top = below + height <= window.innerHeight - MARGIN ? below : Math.max(MARGIN, beside.top - height - MARGIN);
    const left = atEnd ? beside.right - width : beside.left;
    this.menu.style.top = `${Math.min(top, Math.max(MARGIN, window.innerHeight - height - MARGIN))}px`;
    this.menu.style.left = `${Math.min(Math.max(MARGIN, left), window.innerWidth - width - MARGIN)}px`;
  }

  /** Arrows go from one to the next, as in any menu. @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const buttons = [...this.menu.querySelectorAll("button")].filter((button) => !button.hidden);
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
  }
}
