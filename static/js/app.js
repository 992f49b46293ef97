/** Wires the page together: state, connection, chat, and one view per part of the screen. */

import { Admission } from "./admission.js";
import { Chat } from "./chat.js";
import { systemClock } from "./clock.js";
import { Connection } from "./connection.js";
import { Fallback } from "./fallback.js";
import { Identity } from "./identity.js";
import { Outbox } from "./outbox.js";
import { SUBPROTOCOL, newId } from "./protocol.js";
import { Site } from "./site.js";
import { SockJsSocket } from "./sockjs.js";
import { storageBox } from "./storage.js";
import { Store } from "./store.js";
import { ComposerView } from "./view/composer.js";
import { ConnectionView } from "./view/connection.js";
import { ConversationsView } from "./view/conversations.js";
import { MessageMenu } from "./view/menu.js";
import { NoticeView } from "./view/notice.js";
import { RoomView } from "./view/room.js";
import { RoomBar } from "./view/room-bar.js";
import { RoomsView } from "./view/rooms.js";
import { RosterView } from "./view/roster.js";
import { SearchView } from "./view/search.js";
import { Shell } from "./view/shell.js";
import { SignIn } from "./view/sign-in.js";
import { TimelineView } from "./view/timeline.js";
import { TypingView } from "./view/typing.js";
import { followViewport } from "./view/viewport.js";
import { Welcome } from "./view/welcome.js";

const lasting = storageBox(() => window.localStorage);
const ofThisTab = storageBox(() => window.sessionStorage);
const identity = new Identity(lasting);
const store = new Store(systemClock);
const outbox = new Outbox(lasting);

/** Where the server says how one signs in: by a name, or by a token of the site around the page. */
const signIn = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=mqttchat-sign-in]"));
const site = new Site({
  parent: signIn.content !== "token" || window.parent === window ? null : window.parent,
  origins: [location.origin, ...(signIn.dataset.sites ?? "").split(" ").filter(Boolean)],
  listen: (hear) => window.addEventListener("message", hear),
  clock: systemClock,
});

/** The name that is to be signed in. */
let name = "";

const fallback = new Fallback({
  websocket: () => new WebSocket(socketUrl(), [SUBPROTOCOL]),
  sockjs: (streaming) => new SockJsSocket({ base: sockjsUrl(), streaming, fetch: (...request) => fetch(...request), newId }),
  reachable: () => fetch(`${sockjsUrl()}/info`, { cache: "no-store" }).then(
    (info) => info.ok,
    () => false,
  ),
  clock: systemClock,
});
/** @type {Connection} */
const connection = new Connection({
  open: () => fallback.open(),
  greeting: () => ({ ...(admission === null ? { name, token: identity.tokenFor(name) } : { token: admission.token }), log: store.logId, resume: chat.resume() }),
  clock: systemClock,
  random: Math.random,
});
/** @type {Chat} */
const chat = new Chat({ connection, store, outbox, clock: systemClock, random: Math.random });
/** @type {Admission | null} */
const admission = signIn.content === "token" ? new Admission({ site, connection, requests: chat.requests, clock: systemClock, leave: forget }) : null;

const welcome = new Welcome((chosen) => {
  name = chosen;
  connection.start();
});
const signingIn = new SignIn();
const shell = new Shell(store, { leave, drawer: attend });
const menu = new MessageMenu(store, {
  react: (dest, message, emoji, on) => chat.react(dest, message, emoji, on),
  edit: (_dest, message) => composer.edit(message),
  delete: (dest, message) => chat.delete(dest, message),
});
const timeline = new TimelineView(store, outbox, {
  older: (conversation) => chat.history.older(conversation),
  newer: (conversation) => chat.history.newer(conversation),
  retry: (id) => chat.retry(id),
  discard: (id) => chat.discard(id),
  menu: ({ entry }, beside) => menu.open(store.active, entry, beside),
  react: ({ entry }, emoji) => menu.toggle(store.active, entry, emoji),
  moved: attend,
});
const composer = new ComposerView(store, ofThisTab, {
  say: (dest, text) => chat.say(dest, text),
  change: (dest, message, text) => chat.edit(dest, message, text),
  last: () => timeline.lastOwn?.entry ?? null,
  key: (dest) => chat.ownTyping.key(dest),
  stop: () => chat.ownTyping.stop(),
  sent: () => timeline.toEnd(),
});
new ConversationsView(store, outbox, open);
new RosterView(store, { open, more: (conversation) => chat.moreRoster(conversation) });
new RoomsView(store, chat.rooms, open);
new RoomView(store, chat.rooms);
new RoomBar(store, chat.rooms);
const search = new SearchView(store, chat.search, { goTo: (dest, seq) => void goTo(dest, seq), reveal: () => shell.reveal() });
new NoticeView(store);
new TypingView(store);
new ConnectionView(connection);

connection.addEventListener("ready", (event) => {
  const { user, token } = /** @type {CustomEvent<import("./protocol.js").Ready>} */ (event).detail;
  name = user.name;
  if (token) identity.remember(user.name, user.id, token);
  enter();
});
connection.addEventListener("refused", (event) => {
  const { code, reason, suggestion = "" } = /** @type {CustomEvent<import("./connection.js").Refusal>} */ (event).detail;
  if (admission !== null) return;
  if (code === "unauthorized") identity.drop(name);
  ask(reason || "The server did not let you in.", suggestion);
});
connection.addEventListener("status", () => {
  const { phase, reason } = connection.status;
  if (admission !== null) {
    if (!shell.visible && phase === "waiting") signingIn.show("One moment", `${reason} Trying again…`);
    if (!shell.visible && phase === "stopped") signingIn.show("That went wrong", `${reason} Please reload the page.`);
    return;
  }
  if (!shell.visible && phase === "waiting") welcome.waiting(`${reason} Trying again…`);
  if (!shell.visible && phase === "stopped") welcome.show(name, `${reason} Please reload the page.`);
});
store.addEventListener("active", () => ofThisTab.write("active", store.active));
document.addEventListener("visibilitychange", () => {
  attend();
  if (document.visibilityState === "visible") connection.probe();
});
window.addEventListener("online", () => {
  fallback.again();
  connection.probe();
});
window.addEventListener("offline", () => connection.probe());
window.addEventListener("pageshow", (event) => {
  if (event.persisted) connection.probe();
});

followViewport();
if (admission === null) begin();
else beginByToken(admission);

/** The site around the page says who is there. @param {Admission} admission */
function beginByToken(admission) {
  shell.withoutLeaving();
  if (!site.there) {
    signingIn.show("This chat is part of a site", "That site knows who you are and signs you in. Please open the chat there.");
    return;
  }
  const tell = (/** @type {string} */ title, /** @type {string} */ text) => (shell.visible ? store.tell(text) : signingIn.show(title, text));
  admission.addEventListener("asked", (event) => {
    const { detail: reason } = /** @type {CustomEvent<string>} */ (event);
    if (reason !== "") tell("You are not let in yet", `${reason} Trying again…`);
    else if (!shell.visible) signingIn.show("One moment", "You are being signed in.");
  });
  admission.addEventListener("out", () => signingIn.show("You are signed out", "Sign in at the site around this chat to go on."));
  site.addEventListener("silent", () => tell("Who are you?", "The site around this chat does not say who you are. Please sign in there."));
  admission.start();
}

/** Whoever was signed in here goes on, even before the server is reached. */
function begin() {
  const { current, user } = identity;
  if (current === null || user === null) {
    welcome.show(identity.lastName);
    return;
  }
  name = current;
  store.me = user;
  outbox.open(user.id);
  const active = ofThisTab.read("active");
  if (typeof active === "string") void chat.open(active);
  enter();
  connection.start();
}

function enter() {
  if (shell.visible) return;
  welcome.hide();
  signingIn.hide();
  shell.show();
  store.changed("session");
  attend();
  // Of a site around the page somebody may be writing elsewhere.
  if (!site.there) composer.focus();
}

/** @param {string} reason @param {string} suggestion */
function ask(reason, suggestion) {
  shell.hide();
  store.clear();
  welcome.show(name, reason, suggestion);
}

function leave() {
  forget();
  identity.leave();
  welcome.show(identity.lastName);
}

/** Nothing of whoever was here stays on the screen. */
function forget() {
  chat.leave();
  ofThisTab.remove("active");
  composer.forget();
  search.forget();
  shell.hide();
}

/** @param {string} dest */
function open(dest) {
  void chat.open(dest);
  shell.closeDrawer();
  composer.focus();
}

/** To a message, wherever it is. @param {string} dest @param {number} seq */
async function goTo(dest, seq) {
  shell.closeDrawer();
  if (await chat.openAt(dest, seq)) timeline.toEntry(seq);
  else store.tell("That message is not there any more.");
}

/** Whether somebody looks at the newest message now. */
function attend() {
  const looking = shell.visible && !shell.drawerOpen && document.visibilityState === "visible" && timeline.atEnd;
  if (store.attentive === looking && !looking) return;
  store.attentive = looking;
  if (looking) chat.seen();
}

function sockjsUrl() {
  return new URL("sockjs", document.baseURI).href;
}

/** Beside the page, wherever that is served: `wss:` for `https:`. */
function socketUrl() {
  const url = new URL("ws", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
