/**
 * Times, days, names and numbers as people read them. The page speaks English; clock and calendar
 * follow the reader's own English, if that is what the browser is set to.
 */

const LOCALE = globalThis.navigator?.languages?.find((tag) => /^en\b/i.test(tag)) ?? "en";
const CLOCK = new Intl.DateTimeFormat(globalThis.navigator?.language ?? LOCALE, { hour: "numeric", minute: "2-digit" });
const WEEKDAY = new Intl.DateTimeFormat(LOCALE, { weekday: "long" });
const DAY = new Intl.DateTimeFormat(LOCALE, { weekday: "long", day: "numeric", month: "long" });
const FULL_DAY = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "long", year: "numeric" });
const SHORT_DAY = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const MOMENT = new Intl.DateTimeFormat(LOCALE, { dateStyle: "full", timeStyle: "medium" });

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY_MS = 24 * HOUR;

/** @param {number} time */
export const clockTime = (time) => CLOCK.format(time);

/** @param {number} time */
export const moment = (time) => MOMENT.format(time);

/** A number that is the same for all moments of one local day. @param {number} time */
export function dayOf(time) {
  const date = new Date(time);
  return Math.round(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / DAY_MS);
}

/** @param {number} time @param {number} now */
export function dayLabel(time, now) {
  const ago = dayOf(now) - dayOf(time);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  if (ago > 1 && ago < 7) return WEEKDAY.format(time);
  return new Date(time).getFullYear() === new Date(now).getFullYear() ? DAY.format(time) : FULL_DAY.format(time);
}

/** For a list: the time today, else the day. @param {number} time @param {number} now */
export function shortTime(time, now) {
  const ago = dayOf(now) - dayOf(time);
  if (ago <= 0) return clockTime(time);
  return ago === 1 ? "Yesterday" : SHORT_DAY.format(time);
}

/** @param {number | null | undefined} time @param {number} now */
export function lastSeen(time, now) {
  if (!time) return "not here now";
  const ago = now - time;
  if (ago < MINUTE) return "last seen just now";
  if (ago < HOUR) return `last seen ${Math.floor(ago / MINUTE)} min ago`;
  if (dayOf(now) === dayOf(time)) return `last seen today at ${clockTime(time)}`;
  if (dayOf(now) - dayOf(time) === 1) return `last seen yesterday at ${clockTime(time)}`;
  return ago < 7 * DAY_MS ? `last seen ${WEEKDAY.format(time)} at ${clockTime(time)}` : `last seen ${FULL_DAY.format(time)}`;
}

/**
 * "Ann, Bob and 3 others": at most `shown` names.
 * @param {string[]} names
 * @param {number} [shown]
 */
export function nameList(names, shown = 2) {
  if (names.length <= 1) return names[0] ?? "";
  if (names.length <= shown + 1) return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return `${names.slice(0, shown).join(", ")} and ${names.length - shown} others`;
}

/** @param {string[]} names */
export function typingLine(names) {
  if (names.length === 0) return "";
  if (names.length > 3) return "Several people are typing";
  return `${nameList(names)} ${names.length === 1 ? "is" : "are"} typing`;
}

/** @param {{ joined: string[], left: string[], passed: string[] }} outcome */
export function presenceLine({ joined, left, passed }) {
  const parts = [];
  if (joined.length > 0) parts.push(`${nameList(joined)} joined`);
  if (left.length > 0) parts.push(`${nameList(left)} left`);
  if (passed.length > 0) parts.push(`${nameList(passed)} stopped by`);
  return parts.join(" · ");
}

/**
 * What somebody did to a room.
 * @param {any} data  Of the entry.
 * @param {string} who
 * @param {{ id: string, name: string }} whom  Whom it is about, where it is about somebody.
 * @param {string} from  The id of who did it.
 */
export function roomLine(data, who, whom, from) {
  switch (data?.change) {
    case "create":
      return `${who} created the room “${data.title}”`;
    case "update": {
      const parts = [];
      if (typeof data.title === "string") parts.push(`renamed the room to “${data.title}”`);
      if (typeof data.open === "boolean") parts.push(data.open ? "opened the room to everybody" : "closed the room to all but its members");
      return `${who} ${parts.join(" and ")}`;
    }
    case "add":
      return whom.id === from ? `${who} joined the room` : `${who} added ${whom.name}`;
    case "remove":
      return whom.id === from ? `${who} left the room` : `${who} removed ${whom.name}`;
    case "delete":
      return `${who} deleted the room`;
    default:
      return `${who} changed the room`;
  }
}

/** When a message was changed: the time alone where that was on its own day. @param {number} edited @param {number} time */
export const editedTime = (edited, time) => (dayOf(edited) === dayOf(time) ? clockTime(edited) : `${SHORT_DAY.format(edited)}, ${clockTime(edited)}`);

/** @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A reason of the server, which begins small and has no full stop, as a sentence of its own. @param {string} reason */
export const sentence = (reason) => (/[\p{L}\p{N})”"]$/u.test(reason) ? `${capital(reason)}.` : capital(reason));

/** One or two letters for a picture. @param {string} name */
export function initials(name) {
  const words = name.replace(/[^\p{L}\p{N}\s]/gu, " ").trim().split(/\s+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0] ?? name];
  return letters.map((word) => [...(word ?? "")][0] ?? "").join("").toUpperCase();
}

/** One of eight colours, always the same for a user. @param {string} id */
export function hue(id) {
  // FNV-1a: short ids that differ in one letter still get different colours.
  let hash = 0x811c9dc5;
  for (const character of id) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % 8;
}

/** @param {number} count */
export const badge = (count) => (count > 99 ? "99+" : String(count));
