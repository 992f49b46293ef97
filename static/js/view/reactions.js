/** The reactions below a message: who reacted with what, and a click to join in or to take one's own back. */

import { reactionsOf } from "../changes.js";
import { nameList } from "../format.js";
import { arrange, copyOf, part, setAttribute, setText } from "./dom.js";

/** Names that are spelt out. */
const NAMES = 8;

/**
 * @param {HTMLElement} list
 * @param {import("../protocol.js").Entry} entry
 * @param {import("../store.js").Store} store
 */
export function showReactions(list, entry, store) {
  const given = reactionsOf(entry);
  const me = store.me?.id ?? "";
  const known = new Map([...list.children].map((chip) => [part(chip, "button").dataset.emoji ?? "", chip]));
  list.hidden = given.length === 0;
  arrange(list, given.map(([emoji, users]) => {
    const chip = known.get(emoji) ?? copyOf("reaction-template");
    const button = part(chip, "button");
    const own = users.includes(me);
    const names = users.map((id) => (id === me ? "You" : store.nameOf(id))).sort((a, b) => Number(b === "You") - Number(a === "You"));
    const who = nameList(names, NAMES);
    button.dataset.emoji = emoji;
    setText(button, `${emoji} ${users.length}`);
    button.title = who;
    setAttribute(button, "aria-pressed", String(own));
    setAttribute(button, "aria-label", `${emoji} ${users.length}: ${who}`);
    return chip;
  }));
}
