/**
 * Changes to messages (edit, delete, react) as pure functions: what each does to its target,
 * and how a message looks while changes of one's own are still on their way.
 *
 * @typedef {import("./protocol.js").Entry} Entry
 * @typedef {import("./outbox.js").Item} Item
 */

const KINDS = new Set(["edit", "delete", "react"]);

/** @param {string | undefined} type */
export const isChange = (type) => type !== undefined && KINDS.has(type);

/**
 * Does to a message what a change says.
 * @param {Entry} target
 * @param {{ type: string, from: string, time: number, data: any }} change
 * @returns {boolean} Whether anything could have changed by it.
 */
export function apply(target, { type, from, time, data }) {
  if (target.type !== "msg" || target.deleted === true) return false;
  if (type === "edit" && typeof data?.text === "string") {
    target.data = { ...target.data, text: data.text };
    target.edited = time;
  } else if (type === "delete") {
    target.data = {};
    target.deleted = true;
    delete target.edited;
    delete target.reactions;
  } else if (type === "react" && typeof data?.emoji === "string") {
    const { emoji, on } = data;
    const given = target.reactions?.[emoji] ?? [];
    const others = given.filter((id) => id !== from);
    const standing = given.length > others.length;
    if (standing === (on !== false)) return false;
    target.reactions = { ...target.reactions, [emoji]: on === false ? others : [...others, from] };
  } else return false;
  return true;
}

/** Whether a change in the outbox is about this message. @param {Item} item @param {{ id?: string, from: string }} message */
export function isAbout(item, { id, from }) {
  return isChange(item.type) && item.data?.target === id && (item.data?.author === undefined || item.data.author === from);
}

/**
 * A message with one's own changes that are not in the log yet.
 * @param {Entry} message
 * @param {Item[]} items  Of its conversation, in the order of writing.
 * @param {string} me
 * @returns {{ entry: Entry, waiting: boolean, failed: Item | null }} waiting: some change is under way; failed: the one that was refused.
 */
export function withOwnChanges(message, items, me) {
  const own = items.filter((item) => isAbout(item, message));
  if (own.length === 0) return { entry: message, waiting: false, failed: null };
  const entry = { ...message };
  for (const item of own) {
    if (item.stage !== "failed") apply(entry, { type: item.type, from: me, time: item.time, data: item.data });
  }
  return {
    entry,
    waiting: own.some(({ stage }) => stage === "queued" || stage === "sent"),
    failed: own.find(({ stage }) => stage === "failed") ?? null,
  };
}

/** Who has reacted with what, the first given first; what all have taken back is left out. @param {Entry} entry @returns {[string, string[]][]} */
export function reactionsOf({ reactions, deleted }) {
  if (deleted === true) return [];
  return Object.entries(reactions ?? {}).filter(([, users]) => Array.isArray(users) && users.length > 0);
}
