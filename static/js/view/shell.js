/** The frame around everything: the header of the room, the drawer of a phone, the title of the tab. */

import { lastSeen, badge, capital, counted, typingLine } from "../format.js";
import { byId, coalesced, setText } from "./dom.js";
import { presenceOf, showConversation, showPerson } from "./avatar.js";

const NARROW = "(width < 800px)";
const MINUTE_MS = 60_000;

export class Shell {
  /**
   * @param {import("../store.js").Store} store
   * @param {{ leave: () => void, drawer: (open: boolean) => void }} on
   */
  constructor(store, on) {
    this.store = store;
    this.on = on;
    this.app = byId("app");
    this.sidebar = byId("sidebar");
    this.room = byId("room");
    this.opener = byId("sidebar-open");
    this.favicon = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]"));
    this.narrow = window.matchMedia(NARROW);
    const update = coalesced(() => this.update());
    for (const what of ["session", "active", "conversations", "roster", "unread", "log", "typing", "rooms"]) store.addEventListener(what, update);
    store.addEventListener("active", () => this.closeDrawer());
    document.addEventListener("visibilitychange", update);
    setInterval(update, MINUTE_MS);
    this.opener.addEventListener("click", () => this.openDrawer());
    byId("sidebar-close").addEventListener("click", () => this.closeDrawer());
    byId("scrim").addEventListener("click", () => this.closeDrawer());
    byId("leave").addEventListener("click", () => on.leave());
    this.sidebar.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.closeDrawer();
    });
    this.narrow.addEventListener("change", () => this.closeDrawer());
    this.closeDrawer();
  }

  get visible() {
    return !this.app.hidden;
  }

  get drawerOpen() {
    return this.app.dataset.drawer === "open";
  }

  /** Where a site around the page says who somebody is, they leave there. */
  withoutLeaving() {
    byId("leave").hidden = true;
  }

  show() {
    this.app.hidden = false;
    this.update();
  }

  hide() {
    this.closeDrawer();
    this.app.hidden = true;
    document.title = "mqttchat";
  }

  /** Shows the sidebar where it is a drawer, and leaves the focus to whoever asked. */
  reveal() {
    if (this.narrow.matches && !this.drawerOpen) this.openDrawer();
  }

  openDrawer() {
    this.app.dataset.drawer = "open";
    this.sidebar.inert = false;
    this.room.inert = true;
    this.opener.setAttribute("aria-expanded", "true");
    byId("sidebar-close").focus();
    this.on.drawer(true);
  }

  closeDrawer() {
    const wasOpen = this.drawerOpen;
    this.app.dataset.drawer = "closed";
    this.sidebar.inert = this.narrow.matches;
    this.room.inert = false;
    this.opener.setAttribute("aria-expanded", "false");
    if (wasOpen && this.visible) this.opener.focus();
    if (wasOpen) this.on.drawer(false);
  }

  update() {
    const { store } = this;
    if (!this.visible || store.me === null) return;
    const conversation = store.current;
    const title = store.titleOf(conversation);
    setText(byId("room-title"), title);
    setText(byId("room-subtitle"), subtitle(conversation, store));
    showConversation(byId("room-avatar"), conversation, store);
    setText(byId("me-name"), store.me.name);
    setText(byId("me-id"), store.me.id === store.me.name.toLowerCase() ? "" : store.me.id);
    showPerson(byId("me-avatar"), store.me.id, store.me.name);
    const elsewhere = store.unread - conversation.unread;
    byId("menu-badge").hidden = elsewhere === 0;
    setText(byId("menu-badge"), badge(elsewhere));
    const { unread } = store;
    const wanted = unread > 0 ? `(${badge(unread)}) ${title} · mqttchat` : `${title} · mqttchat`;
    if (document.title !== wanted) document.title = wanted;
    const symbol = unread > 0 ? "img/icon-unread.svg" : "img/icon.svg";
    if (this.favicon.getAttribute("href") !== symbol) this.favicon.setAttribute("href", symbol);
  }
}

/**
 * @param {import("../conversation.js").Conversation} conversation
 * @param {import("../store.js").Store} store
 */
function subtitle(conversation, store) {
  if (conversation.oneWay) return "An MQTT device · one-way";
  if (conversation.with === store.me?.id) return "On all of your devices, for nobody else";
  if (conversation.with !== null) {
    if (conversation.typing.names.length > 0) return `${typingLine(conversation.typing.names)}…`;
    const presence = presenceOf(conversation, store);
    return presence === null ? "Private" : presence.state === "online" ? "Online" : capital(lastSeen(presence.lastSeen, Date.now()));
  }
  const { online } = conversation.roster;
  const room = store.roomOf(conversation);
  const here = online === 0 ? "" : online === 1 ? "only you are here" : `${online} people online`;
  if (conversation.problem !== null && conversation.room !== null) return "";
  return capital([room === undefined ? "" : counted(room.members.length, "member"), here].filter(Boolean).join(" · "));
}
