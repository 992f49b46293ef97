/** Clicks, taps and keys in the list of messages. */

import { part } from "./dom.js";

/** @typedef {import("../rows.js").MessageRow} MessageRow */

export class Gestures {
  /**
   * @param {HTMLElement} list
   * @param {(element: HTMLElement) => import("../rows.js").Row | undefined} rowOf
   * @param {object} on
   * @param {(id: string) => void} on.retry
   * @param {(id: string) => void} on.discard
   * @param {(row: MessageRow, beside: Element) => void} on.menu
   * @param {(row: MessageRow, emoji: string) => void} on.react
   */
  constructor(list, rowOf, on) {
    this.list = list;
    this.rowOf = rowOf;
    this.on = on;
    list.addEventListener("click", (event) => this.#clicked(/** @type {Element} */ (event.target)));
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Of all the buttons for actions, one is reached with Tab: the arrow keys go on from there. */
  reachable() {
    const buttons = this.#buttons;
    if (buttons.some((button) => button === document.activeElement)) return;
    for (const button of this.list.querySelectorAll(".message-actions[tabindex='0']")) button.setAttribute("tabindex", "-1");
    buttons.at(-1)?.setAttribute("tabindex", "0");
  }

  get #buttons() {
    return /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll(".message-actions:not([hidden])")]);
  }

  /** @param {Element} target */
  #clicked(target) {
    const element = /** @type {HTMLElement | null} */ (target.closest("[data-testid=message]"));
    const row = element === null ? undefined : this.rowOf(element);
    if (element === null || row?.kind !== "message") return;
    const trouble = target.closest(".trouble")?.getAttribute("data-id");
    const emoji = target.closest("button")?.dataset.emoji;
    if (trouble && target.closest(".retry")) this.on.retry(trouble);
    else if (trouble && target.closest(".discard")) this.on.discard(trouble);
    else if (emoji !== undefined) this.on.react(row, emoji);
    else if (target.closest(".message-actions") || tapped(target)) {
      if (!part(element, ".message-actions").hidden) this.on.menu(row, part(element, ".bubble"));
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest(".message-actions"));
    const step = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
    if (button === null || step === 0) return;
    event.preventDefault();
    const buttons = this.#buttons;
    const next = buttons[buttons.indexOf(button) + step];
    if (next === undefined) return;
    button.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }
}

/** Where nothing can be pointed at without touching it, a tap on a message opens its menu. @param {Element} target */
function tapped(target) {
  const free = target.closest("a, button") === null && (window.getSelection()?.isCollapsed ?? true);
  return free && target.closest(".bubble") !== null && window.matchMedia("(hover: none)").matches;
}
