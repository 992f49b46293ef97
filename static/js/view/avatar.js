/** The round picture of a person or conversation: letters on a colour, or a symbol. */

import { hue, initials } from "../format.js";
import { icon, setAttribute } from "./dom.js";

/** @param {HTMLElement} element @param {string} id @param {string} name */
export function showPerson(element, id, name) {
  const shown = `${id} ${name}`;
  if (element.dataset.shown === shown) return;
  element.dataset.shown = shown;
  element.dataset.hue = String(hue(id));
  setAttribute(element, "data-kind", null);
  element.textContent = initials(name);
}

/** @param {HTMLElement} element @param {string} symbol  Of index.html. @param {string} kind */
export function showSymbol(element, symbol, kind) {
  if (element.dataset.shown === symbol) return;
  element.dataset.shown = symbol;
  element.dataset.kind = kind;
  setAttribute(element, "data-hue", null);
  element.replaceChildren(icon(symbol));
}

/**
 * @param {HTMLElement} element
 * @param {import("../conversation.js").Conversation} conversation
 * @param {import("../store.js").Store} store
 */
export function showConversation(element, conversation, store) {
  const partner = conversation.with;
  if (partner === null) showSymbol(element, conversation.isPublic ? "globe" : roomSymbol(store.roomOf(conversation)), "public");
  else if (partner === store.me?.id) showSymbol(element, "note", "public");
  else showPerson(element, partner, store.titleOf(conversation));
  setAttribute(element, "data-presence", presenceOf(conversation, store)?.state ?? null);
}

/** @param {import("../protocol.js").Room | undefined} room */
export const roomSymbol = (room) => (room?.open === false ? "lock" : "room");

/**
 * Whether the other party is here: from their own status, else from the roster of the public conversation.
 * @param {import("../conversation.js").Conversation} conversation
 * @param {import("../store.js").Store} store
 * @returns {{ state: "online" | "offline", lastSeen: number | null } | null}
 */
export function presenceOf(conversation, store) {
  const partner = conversation.with;
  if (partner === null || partner === store.me?.id || conversation.oneWay) return null;
  if (conversation.partner !== null) return conversation.partner;
  const person = store.conversation("public").roster.get(partner);
  return person?.state === undefined ? null : { state: person.state, lastSeen: person.last_seen ?? null };
}
