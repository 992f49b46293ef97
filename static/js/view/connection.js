/** Says how the connection is: a word in the header always, a banner when it is away. */

import { byId, part, setText } from "./dom.js";

/** A connection that is back at once is not worth a banner. */
const PATIENCE_MS = 600;

export class ConnectionView {
  /** @type {any} */
  #tick = null;
  /** @type {number | null} */
  #awaySince = null;

  /** @param {import("../connection.js").Connection} connection */
  constructor(connection) {
    this.connection = connection;
    this.pill = byId("connection-state");
    this.word = part(this.pill, ".connection-text");
    this.banner = byId("banner");
    this.reason = byId("banner-reason");
    this.countdown = byId("banner-countdown");
    this.action = byId("banner-action");
    this.action.addEventListener("click", () => {
      if (connection.status.phase === "stopped") location.reload();
      else connection.retryNow();
    });
    connection.addEventListener("status", () => this.#show());
    window.addEventListener("online", () => this.#show());
    window.addEventListener("offline", () => this.#show());
    this.#show();
  }

  #show() {
    clearTimeout(this.#tick);
    const { phase, retryAt } = this.connection.status;
    const state = phase === "ready" ? "online" : phase === "connecting" || phase === "idle" ? "connecting" : "offline";
    this.pill.dataset.state = state;
    setText(this.word, { online: "Online", connecting: "Connecting", offline: "Offline" }[state]);
    if (phase === "ready" || phase === "idle") {
      this.#awaySince = null;
      this.banner.hidden = true;
      setText(this.reason, "");
      return;
    }
    const now = Date.now();
    this.#awaySince ??= now;
    const early = now - this.#awaySince < PATIENCE_MS && phase !== "stopped";
    if (!early) this.#explain(now);
    const untilNext = early ? PATIENCE_MS - (now - this.#awaySince) + 1 : retryAt === null ? null : ((retryAt - now) % 1000 + 1000) % 1000 + 10;
    if (untilNext !== null) this.#tick = setTimeout(() => this.#show(), untilNext);
  }

  /** @param {number} now */
  #explain(now) {
    const { phase, reason, retryAt } = this.connection.status;
    this.banner.hidden = false;
    setText(this.reason, navigator.onLine ? reason || "Connecting to the server." : "This device is offline.");
    if (phase === "stopped") {
      setText(this.countdown, "Please reload the page.");
      setText(this.action, "Reload");
    } else {
      const seconds = retryAt === null ? 0 : Math.max(0, Math.ceil((retryAt - now) / 1000));
      setText(this.countdown, phase === "connecting" || seconds === 0 ? "Reconnecting…" : `Reconnecting in ${seconds} s`);
      setText(this.action, "Try now");
    }
    this.action.hidden = phase === "connecting";
  }
}
