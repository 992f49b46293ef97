/** One message in the list. */

import { clockTime, editedTime, hue, moment, sentence } from "../format.js";
import { splitLinks } from "../links.js";
import { showPerson } from "./avatar.js";
import { copyOf, part, setAttribute, setText } from "./dom.js";
import { showReactions } from "./reactions.js";

/** @typedef {import("../rows.js").MessageRow} MessageRow */

/** A text of few emoji and nothing else is shown larger. */
const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}(?:\ufe0f|\u200d\p{Extended_Pictographic}|\p{Emoji_Modifier})*\s*){1,3}$/u;

const TICKS = {
  sending: { symbol: "sending", label: "Sending" },
  failed: { symbol: "failed", label: "Not sent" },
  accepted: { symbol: "accepted", label: "Sent" },
  delivered: { symbol: "delivered", label: "Delivered" },
  read: { symbol: "delivered", label: "Read" },
};

/** What did not work, by the kind of change. @type {Record<string, string>} */
const REFUSED = { edit: "Not changed.", delete: "Not deleted.", react: "Reaction not given." };

export function newMessage() {
  return copyOf("message-template");
}

/**
 * @param {HTMLElement} element
 * @param {MessageRow} row
 * @param {"delivered" | "read" | null} receipt  How far the other party of a private conversation is.
 * @param {import("../store.js").Store} store
 */
export function showMessage(element, row, receipt, store) {
  const { entry, item, refused, own, state } = row;
  setAttribute(element, "data-seq", entry.seq > 0 ? String(entry.seq) : null);
  setAttribute(element, "data-id", entry.id ?? null);
  setAttribute(element, "data-from", entry.from);
  setAttribute(element, "data-state", state);
  setAttribute(element, "data-receipt", own ? receipt : null);
  setAttribute(element, "data-own", own ? "" : null);
  setAttribute(element, "data-deleted", entry.deleted === true ? "" : null);
  setAttribute(element, "data-changing", row.waiting ? "" : null);
  setAttribute(element, "data-begins", row.begins ? "" : null);
  setAttribute(element, "data-ends", row.ends ? "" : null);
  setAttribute(element, "data-hue", String(hue(entry.from)));
  showPerson(part(element, ".avatar"), entry.from, entry.name);
  setText(part(element, ".author-name"), own ? "You" : entry.name);
  part(element, ".via").hidden = entry.via !== "mqtt";
  showContent(part(element, ".text"), entry);
  const time = /** @type {HTMLTimeElement} */ (part(element, "time"));
  setText(time, clockTime(entry.time));
  time.dateTime = new Date(entry.time).toISOString();
  time.title = moment(entry.time);
  showEdited(part(element, ".edited"), row);
  showTicks(part(element, ".ticks"), own ? TICKS[state === "accepted" && receipt !== null ? receipt : state] : null);
  showReactions(part(element, ".reactions"), entry, store);
  const actions = part(element, ".message-actions");
  actions.hidden = entry.deleted === true || state === "failed" || entry.id === undefined;
  setAttribute(actions, "aria-label", `Actions for the message ${own ? "of yours" : `of ${entry.name}`}, ${clockTime(entry.time)}`);
  showTrouble(part(element, ".trouble"), state === "failed" ? item : refused);
}

/** @param {HTMLElement} element @param {MessageRow} row */
function showEdited(element, { entry, waiting }) {
  const { edited, time } = entry;
  element.hidden = edited === undefined || entry.deleted === true;
  if (edited === undefined) return;
  setText(element, waiting ? "edited, sending" : `edited ${editedTime(edited, time)}`);
  element.title = `Edited ${moment(edited)}`;
}

/** @param {HTMLElement} element @param {import("../outbox.js").Item | null} failed  The message, or a change of it. */
function showTrouble(element, failed) {
  element.hidden = failed === null;
  setAttribute(element, "data-id", failed?.id ?? null);
  const what = failed === null ? "" : REFUSED[failed.type] ?? "Not sent.";
  setText(part(element, ".trouble-reason"), `${what} ${sentence(failed?.reason ?? "")}`.trim());
}

/** @param {HTMLElement} element @param {import("../protocol.js").Entry} entry */
function showContent(element, entry) {
  const text = entry.data?.text;
  if (entry.deleted === true) {
    element.dataset.kind = "deleted";
    setText(element, "This message was deleted.");
  } else if (typeof text === "string") {
    element.dataset.kind = ONLY_EMOJI.test(text) ? "emoji" : "text";
    if (element.textContent !== text) element.replaceChildren(...splitLinks(text).map(piece));
  } else {
    element.dataset.kind = "data";
    setText(element, JSON.stringify(entry.data ?? null));
  }
}

/** @param {import("../links.js").Piece} piece @returns {Node} */
function piece({ text, href }) {
  if (href === null) return document.createTextNode(text);
  const link = document.createElement("a");
  link.href = href;
  link.rel = "noopener noreferrer nofollow ugc";
  link.target = "_blank";
  link.textContent = text;
  return link;
}

/** @param {Element} element @param {{ symbol: string, label: string } | null} tick */
function showTicks(element, tick) {
  setAttribute(element, "hidden", tick === null ? "" : null);
  setAttribute(element, "aria-label", tick?.label ?? "");
  setAttribute(part(element, "use"), "href", tick === null ? null : `#icon-${tick.symbol}`);
}
