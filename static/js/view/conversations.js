/** The list of conversations, what was said last in each, and how much of it is new. */

import { badge, shortTime, typingLine } from "../format.js";
import { showConversation } from "./avatar.js";
import { arrange, byId, coalesced, copyOf, part, setAttribute, setText } from "./dom.js";

/** @typedef {import("../conversation.js").Conversation} Conversation */

export class ConversationsView {
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../outbox.js").Outbox} outbox
   * @param {(dest: string) => void} open
   */
  constructor(store, outbox, open) {
    this.store = store;
    this.outbox = outbox;
    this.list = byId("conversations");
    const update = coalesced(() => this.update());
    for (const what of ["session", "active", "conversations", "roster", "unread", "log", "typing", "rooms"]) store.addEventListener(what, update);
    outbox.addEventListener("change", update);
    this.list.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      if (button?.dataset.dest !== undefined) open(button.dataset.dest);
    });
  }

  update() {
    const sorted = [...this.store.conversations.values()];
    sorted.sort((a, b) => Number(b.isPublic) - Number(a.isPublic) || b.lastTime - a.lastTime || (a.dest < b.dest ? -1 : 1));
    const rows = new Map(sorted.map((conversation) => [conversation.dest, this.#row(conversation)]));
    this.#rows = rows;
    arrange(this.list, [...rows.values()]);
  }

  /** @param {Conversation} conversation @returns {HTMLElement} */
  #row(conversation) {
    const { store } = this;
    const row = this.#rows.get(conversation.dest) ?? copyOf("conversation-template");
    const button = part(row, "button");
    setAttribute(button, "data-dest", conversation.dest);
    setAttribute(button, "aria-current", conversation.dest === store.active ? "true" : null);
    setText(part(row, ".row-title"), store.titleOf(conversation));
    setText(part(row, ".row-time"), conversation.lastTime === 0 ? "" : shortTime(conversation.lastTime, Date.now()));
    setText(part(row, ".row-detail"), this.#detail(conversation));
    showConversation(part(row, ".avatar"), conversation, store);
    const count = part(row, ".badge");
    count.hidden = conversation.unread === 0;
    setText(count, badge(conversation.unread));
    setAttribute(count, "aria-label", `${conversation.unread} unread`);
    setAttribute(count, "role", "img");
    return row;
  }

  /** @param {Conversation} conversation */
  #detail(conversation) {
    if (conversation.typing.names.length > 0) return `${typingLine(conversation.typing.names)}…`;
    const waiting = this.outbox.of(conversation.dest).findLast((item) => item.type === "msg" || item.stage === "failed");
    if (waiting?.stage === "failed") return waiting.type === "msg" ? "Not sent" : "Not changed";
    if (conversation.problem !== null && conversation.room !== null) return conversation.problem;
    if (waiting !== undefined) return `You: ${waiting.data?.text ?? ""}`;
    const newest = newestMessage(conversation);
    if (newest === null) return conversation.problem ?? "No messages yet";
    const text = newest.deleted ? "Message deleted" : typeof newest.data?.text === "string" ? newest.data.text : "Data";
    const who = newest.from === this.store.me?.id ? "You" : newest.name;
    return conversation.with !== null && who !== "You" ? text : `${who}: ${text}`;
  }
}

/** @param {Conversation} conversation */
function newestMessage({ log, lastListed }) {
  for (let seq = log.last; seq > 0 && seq >= log.first && seq > log.last - 50; seq -= 1) {
    const entry = log.at(seq);
    if (entry?.type === "msg") return entry;
  }
  return lastListed?.type === "msg" ? lastListed : null;
}
