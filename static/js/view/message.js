/** One message in the list. */

import { clockTime, hue, moment } from "../format.js";
import { splitLinks } from "../links.js";
import { showPerson } from "./avatar.js";
import { copyOf, part, setAttribute, setText } from "./dom.js";

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

export function newMessage() {
  return copyOf("message-template");
}

/**
 * @param {HTMLElement} element
 * @param {MessageRow} row
 * @param {"delivered" | "read" | null} receipt  How far the other party of a private conversation is.
 */
export function showMessage(element, row, receipt) {
  const { entry, item, own, state } = row;
  setAttribute(element, "data-seq", entry.seq > 0 ? String(entry.seq) : null);
  setAttribute(element, "data-id", entry.id ?? null);
  setAttribute(element, "data-from", entry.from);
  setAttribute(element, "data-state", state);
  setAttribute(element, "data-receipt", own ? receipt : null);
  setAttribute(element, "data-own", own ? "" : null);
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
  part(element, ".edited").hidden = entry.edited === undefined || entry.deleted === true;
  showTicks(part(element, ".ticks"), own ? TICKS[state === "accepted" && receipt !== null ? receipt : state] : null);
  showReactions(part(element, ".reactions"), entry);
  const trouble = part(element, ".trouble");
  trouble.hidden = state !== "failed";
  setText(part(trouble, ".trouble-reason"), state === "failed" ? `Not sent. ${item?.reason ?? ""}`.trim() : "");
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

/** @param {HTMLElement} list @param {import("../protocol.js").Entry} entry */
function showReactions(list, entry) {
  const given = Object.entries(entry.reactions ?? {}).filter(([, users]) => Array.isArray(users) && users.length > 0);
  list.hidden = given.length === 0 || entry.deleted === true;
  list.replaceChildren(...given.map(([emoji, users]) => {
    const chip = document.createElement("li");
    chip.textContent = `${emoji} ${users.length}`;
    return chip;
  }));
}
