/**
 * What of a text a search has found, so that it can be marked: the same rules as the server's
 * (words, "a phrase", prefix*, from:somebody; scripts without spaces match anywhere), without case and accents.
 *
 * @typedef {{ text: string, found: boolean }} Piece
 */

import { isUserId } from "./protocol.js";

/** Scripts that are written without spaces between words, and pictures. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}]|\p{Extended_Pictographic}/u;
const LETTER = "[\\p{L}\\p{N}\\p{M}]";
const PART = /(?:[\p{L}\p{N}\p{M}]|\p{Extended_Pictographic})+/gu;
/** Letters that Unicode does not take apart. @type {Record<string, string>} */
const PLAIN = { ß: "ss", ς: "σ", ø: "o", ł: "l", đ: "d", ð: "d", ı: "i", æ: "ae", œ: "oe", þ: "th" };
const WORDS_AT_MOST = 32;
/** Characters of a text that are shown around what was found. */
const BEFORE = 40;
const SHOWN = 180;

/** @param {string} q @returns {string[]} Words, phrases without their quotation marks, `prefix*`, `from:somebody`. */
const partsOf = (q) => q.split('"').flatMap((part, i) => (i % 2 === 1 ? [part] : part.split(/\s+/u)));

/** @param {string} text  Without case and accents. @returns {string[]} */
const wordsOf = (text) => text.match(PART) ?? [];

/**
 * Why a question has no answer, as a sentence, or null. The server would refuse it as a bad frame.
 * @param {string} q
 * @returns {string | null}
 */
export function unanswerable(q) {
  const parts = partsOf(q);
  const from = parts.filter((part) => part.startsWith("from:")).map((part) => part.slice("from:".length).toLowerCase());
  if (from.some((name) => !isUserId(name.replace(/^mqtt:/, "")))) return "Behind from: stands a user id, as in from:ann.";
  const words = parts.filter((part) => !part.startsWith("from:") && wordsOf(fold(part).text).length > 0);
  if (words.length > WORDS_AT_MOST) return `A search is for at most ${WORDS_AT_MOST} words.`;
  return words.length + from.length > 0 ? null : "Type a word to look for, “a phrase” in quotation marks, or from: and who said it.";
}

/**
 * What in a text answers to a question, as one expression for a folded text; null for nothing.
 * @param {string} q
 * @returns {RegExp | null}
 */
export function finder(q) {
  const parts = partsOf(q).flatMap((part) => {
    const words = wordsOf(fold(part).text);
    if (words.length === 0 || part.startsWith("from:")) return [];
    const expression = words.join("[^\\p{L}\\p{N}]+");
    if (UNSPACED.test(expression)) return [expression];
    return [`(?<!${LETTER})${expression}${part.endsWith("*") ? `${LETTER}*` : `(?!${LETTER})`}`];
  });
  return parts.length === 0 ? null : new RegExp(parts.join("|"), "gu");
}

/**
 * A text in pieces, those that were found marked; together they are the text again.
 * @param {string} text
 * @param {RegExp | null} expression
 * @returns {Piece[]}
 */
export function marked(text, expression) {
  if (expression === null || text === "") return [{ text, found: false }];
  const { text: folded, places } = fold(text);
  /** @type {Piece[]} */
  const pieces = [];
  let done = 0;
  for (const match of folded.matchAll(expression)) {
    const from = places[match.index] ?? 0;
    const to = places[match.index + match[0].length] ?? text.length;
    if (to <= from) continue;
    if (from > done) pieces.push({ text: text.slice(done, from), found: false });
    pieces.push({ text: text.slice(from, to), found: true });
    done = to;
  }
  if (done < text.length) pieces.push({ text: text.slice(done), found: false });
  return pieces;
}

/**
 * The part of a long text around the first thing that was found, on one line.
 * @param {string} text
 * @param {RegExp | null} expression
 * @returns {Piece[]}
 */
export function snippet(text, expression) {
  const line = text.replace(/\s+/gu, " ").trim();
  const pieces = marked(line, expression);
  const before = pieces.length > 1 && pieces[0]?.found === false ? pieces[0].text.length : 0;
  const start = before > 2 * BEFORE ? wordStart(line, before - BEFORE, before) : 0;
  const end = wholeCharacter(line, Math.min(line.length, start + SHOWN));
  return marked(`${start > 0 ? "…" : ""}${line.slice(start, end)}${end < line.length ? "…" : ""}`, expression);
}

/** @param {string} line @param {number} from @param {number} until */
function wordStart(line, from, until) {
  const space = line.indexOf(" ", from);
  return space >= 0 && space < until ? space + 1 : wholeCharacter(line, from);
}

/** Not into the middle of a character. @param {string} text @param {number} at */
const wholeCharacter = (text, at) => (/[\udc00-\udfff]/.test(text[at] ?? "") ? at + 1 : at);

/**
 * Without case and accents, and for each place in it the place in the text it came from.
 * @param {string} text
 * @returns {{ text: string, places: number[] }}
 */
function fold(text) {
  let folded = "";
  /** @type {number[]} */
  const places = [];
  let at = 0;
  for (const character of text) {
    const small = character.toLowerCase();
    const plain = PLAIN[small] ?? (/\p{Script=Hangul}/u.test(small) ? small : small.normalize("NFD").replace(/\p{M}/gu, ""));
    for (let i = 0; i < plain.length; i += 1) places.push(at);
    folded += plain;
    at += character.length;
  }
  places.push(text.length);
  return { text: folded, places };
}
