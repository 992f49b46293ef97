/**
 * The client protocol, version 1, as pure functions: what frames look like, where they are filed,
 * what a close code asks for. No IO, no state. The rules are those of docs/protocol.md.
 */

/**
 * @typedef {object} User
 * @property {string} id
 * @property {string} name
 *
 * @typedef {object} Person  One line of a roster or of a presence frame.
 * @property {string} id
 * @property {string} name
 * @property {"online" | "offline"} [state]
 * @property {number | null} [last_seen]  Unix time in ms.
 *
 * @typedef {object} Entry  One entry of a conversation's log. `data` is whatever the sender wrote.
 * @property {string} type  "msg", or a change: "edit", "delete", "react", "room".
 * @property {string} [id]
 * @property {string} dest
 * @property {string} from
 * @property {string} name
 * @property {number} seq
 * @property {number} time  Unix time in ms.
 * @property {any} data
 * @property {string} [via]  "mqtt" for what came in from a foreign MQTT client.
 * @property {number} [edited]
 * @property {boolean} [deleted]
 * @property {Record<string, string[]>} [reactions]
 *
 * @typedef {object} Room
 * @property {string} id
 * @property {string} title
 * @property {boolean} open  Whether everybody may read and write; else only its members.
 * @property {string} owner
 * @property {string[]} members  User ids, the owner's too.
 * @property {number} created  Unix time in ms.
 * @property {number} modified  Unix time in ms.
 * @property {number} head  Its newest seq.
 *
 * @typedef {object} Limits
 * @property {number} text  Characters of `data.text`.
 * @property {number} frame  Bytes of one frame.
 * @property {number} history  Entries in one answer.
 * @property {number} resume  Conversations in one `hello`.
 * @property {number} ping  Milliseconds.
 *
 * @typedef {object} Ready  The data of the 1000 frame.
 * @property {User} user
 * @property {string} session
 * @property {string | null} [token]
 * @property {number} [expires]  When the token ends that was shown, Unix time in ms.
 * @property {string} [key]  What this session signs with.
 * @property {number} protocol
 * @property {string} log
 * @property {Limits} limits
 * @property {Record<string, number>} [unread]
 *
 * @typedef {Record<string, any>} Frame
 */

export const SUBPROTOCOL = "mqttchat.v1";

/** Transport messages, docs/protocol.md "Transport messages". */
export const ACCEPTED = 100;
export const RECEIVED = 200;
export const DELIVERED = 300;
export const READY = 1000;
export const PING = 1001;
export const PONG = 1002;

export const PUBLIC = "public";

/** Used until a 1000 frame has named the server's own. @type {Limits} */
export const DEFAULT_LIMITS = { text: 4096, frame: 65536, history: 200, resume: 100, ping: 25000 };

const USER_ID = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const NAME_LENGTH = 64;
/** What hides, or changes what is around it. The server decides; these are its rules. */
const INVISIBLE = /[\p{Cc}\p{Cs}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\p{Zl}\p{Zp}\u2060-\u206f\u2800\ufff0-\ufffb\u{e0000}-\u{e0fff}]/u;
/** Selectors where they are seen: behind what comes as text and as emoji, and in Mongolian. */
const SELECTED = /([^\p{Alphabetic}\p{N}\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}\0-\x7f]|[\u2139\u24c2])[\ufe0e\ufe0f]|([\u1820-\u18aa])[\u180b-\u180d\u180f]/gu;

/**
 * A text message as a frame, or null for what is no frame at all: a client ignores what it does not know.
 * @param {unknown} text
 * @returns {Frame | null}
 */
export function parseFrame(text) {
  if (typeof text !== "string") return null;
  try {
    const frame = JSON.parse(text);
    return frame !== null && typeof frame === "object" && !Array.isArray(frame) ? frame : null;
  } catch {
    return null;
  }
}

/**
 * The conversation that a frame belongs to, as its reader sees it.
 * @param {Frame} frame
 * @param {string} me  The reader's user id.
 * @returns {string | null}
 */
export function fileUnder(frame, me) {
  if (typeof frame.dest !== "string") return null;
  if (frame.dest === `private/${me}` && typeof frame.from === "string") return `private/${frame.from}`;
  return frame.dest;
}

/** @param {string} user */
export const privateWith = (user) => `private/${user}`;

/**
 * The other party of a private conversation, or null for any other conversation.
 * @param {string} dest
 */
export const partnerOf = (dest) => (dest.startsWith("private/") ? dest.slice("private/".length) : null);

/** @param {string} room */
export const roomDest = (room) => `rooms/${room}`;

/**
 * The id of a room, or null for any other conversation.
 * @param {string} dest
 */
export const roomOf = (dest) => (dest.startsWith("rooms/") ? dest.slice("rooms/".length) : null);

/**
 * A room id that says what the title says, as far as a room id can; empty where it cannot.
 * @param {string} title
 */
export function roomIdFor(title) {
  const plain = title.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.replace(/[^a-z0-9]+/g, "-").replace(/^-/, "").slice(0, 40).replace(/-$/, "");
}

/** @param {string} id  Foreign senders (`mqtt:lamp`) are no users and cannot be written to. */
export const isUserId = (id) => USER_ID.test(id);

/**
 * Unicode characters, as the server counts them for `limits.text`.
 * @param {string} text
 */
export function countCharacters(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/**
 * A display name, or the title of a room, as it may be sent, or why it may not.
 * @param {string} input
 * @param {"name" | "title"} [what]
 * @returns {{ name: string, problem: null } | { name: null, problem: string }}
 */
export function checkName(input, what = "name") {
  const name = input.trim().normalize("NFC");
  if (name === "") return { name: null, problem: `Please type a ${what} first.` };
  if (countCharacters(name) > NAME_LENGTH) {
    return { name: null, problem: `That ${what} is too long: ${NAME_LENGTH} characters are the limit.` };
  }
  if (INVISIBLE.test(name.replace(SELECTED, "$1$2"))) {
    return { name: null, problem: `That ${what} contains invisible characters. Please type it without them.` };
  }
  return { name, problem: null };
}

/**
 * Text as it may travel: half a surrogate pair is no character and would make the frame unreadable.
 * @param {string} text
 */
export const wellFormed = (text) => text.replace(/\p{Cs}/gu, "\ufffd");

/**
 * A new message id (UUID v4). `crypto.randomUUID` is missing on pages served over plain HTTP in a LAN.
 * @returns {string}
 */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Whether a frame fits into the server's limit.
 * @param {Frame} frame
 * @param {number} limit  Bytes.
 */
export const fitsFrame = (frame, limit) => new TextEncoder().encode(JSON.stringify(frame)).length <= limit;

/**
 * @typedef {"after" | "backoff" | "sign-in" | "never"} Advice
 *   after: when `retry_after` says; backoff: soon, with growing delays; sign-in: with a new token; never.
 */

/**
 * What a close code asks of the client, docs/protocol.md "Closing".
 * @param {number} code
 * @returns {{ advice: Advice, reason: string }}
 */
export function closeAdvice(code) {
  switch (code) {
    case 1001:
      return { advice: "after", reason: "The server is restarting." };
    case 4400:
      return { advice: "never", reason: "This page and the server do not understand each other." };
    case 4401:
      return { advice: "sign-in", reason: "Your sign-in is no longer valid." };
    case 4408:
      return { advice: "backoff", reason: "The connection was silent for too long." };
    case 4413:
      return { advice: "backoff", reason: "The connection was too slow to keep up." };
    case 4429:
      return { advice: "after", reason: "Too many messages were sent too quickly." };
    default:
      return { advice: "backoff", reason: "The connection was lost." };
  }
}

/**
 * @param {string} id
 * @param {{ name?: string, token: string | null, log: string | null, resume: Record<string, number> }} data
 * @returns {Frame}
 */
export const hello = (id, data) => ({ type: "hello", id, data });

/** A fresh token for the session that there is. @param {string} id @param {string} token @returns {Frame} */
export const token = (id, token) => ({ type: "token", id, data: { token } });

/** @param {string} id @param {string} dest @param {number} history @returns {Frame} */
export const join = (id, dest, history) => ({ type: "join", id, dest, data: { history } });

/** @param {string} id @param {string} dest @returns {Frame} */
export const leave = (id, dest) => ({ type: "leave", id, dest });

/**
 * A message, or a change of one.
 * @param {{ type: string, id: string, dest: string, data: any }} parts  Whatever else is in them stays here.
 * @returns {Frame}
 */
export const dataMessage = ({ type, id, dest, data }) => ({ type, id, dest, data });

/** @param {string} dest @param {boolean} typing @returns {Frame} */
export const typing = (dest, typing) => ({ type: "typing", dest, data: { typing } });

/** @param {string} dest @param {string} id @returns {Frame} */
export const received = (dest, id) => ({ type: RECEIVED, dest, data: id });

/** @param {string} dest @param {number} seq @returns {Frame} */
export const read = (dest, seq) => ({ type: "read", dest, data: { seq } });

/**
 * @param {string} id
 * @param {string} dest
 * @param {{ before: number } | { after: number } | {}} bound  Exclusive; none: the newest.
 * @param {number} limit
 * @returns {Frame}
 */
export const history = (id, dest, bound, limit) => ({ type: "history", id, dest, data: { ...bound, limit } });

/** @param {string} id @param {string} dest @param {string | null} after @param {number} limit @returns {Frame} */
export const roster = (id, dest, after, limit) => ({
  type: "roster", id, dest, data: after === null ? { limit } : { after, limit },
});

/** @param {string} id @param {string | null} after @param {number} limit @returns {Frame} */
export const conversations = (id, after, limit) => ({
  type: "conversations", id, data: after === null ? { limit } : { after, limit },
});

/** @param {string} id @param {string | null} dest  Null: wherever the user may read. @param {string} q @param {number} limit @returns {Frame} */
export const search = (id, dest, q, limit) => (dest === null
  ? { type: "search", id, data: { q, limit } }
  : { type: "search", id, dest, data: { q, limit } });

/** @param {string} id @param {string | null} after  The id of a room. @returns {Frame} */
export const rooms = (id, after) => (after === null ? { type: "rooms", id } : { type: "rooms", id, data: { after } });

/** @param {string} id @param {string} dest @param {{ title: string, open: boolean, members: string[] }} data @returns {Frame} */
export const createRoom = (id, dest, data) => ({ type: "room.create", id, dest, data });

/** @param {string} id @param {string} dest @param {{ title?: string, open?: boolean }} data @returns {Frame} */
export const updateRoom = (id, dest, data) => ({ type: "room.update", id, dest, data });

/** @param {string} id @param {string} dest @returns {Frame} */
export const deleteRoom = (id, dest) => ({ type: "room.delete", id, dest });

/** @param {string} id @param {string} dest @param {string} user @returns {Frame} */
export const addMember = (id, dest, user) => ({ type: "member.add", id, dest, data: { user } });

/** @param {string} id @param {string} dest @param {string} user @returns {Frame} */
export const removeMember = (id, dest, user) => ({ type: "member.remove", id, dest, data: { user } });
