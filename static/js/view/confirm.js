/** Asks before something that cannot be undone. */

import { byId, setText } from "./dom.js";

/**
 * @param {{ title: string, text: string, action: string }} question
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, text, action }) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("confirm-dialog"));
  const yes = byId("confirm-yes");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(yes, action);
  return new Promise((resolve) => {
    const close = () => dialog.close();
    const agree = () => dialog.close("yes");
    yes.addEventListener("click", agree);
    byId("confirm-no").addEventListener("click", close);
    dialog.addEventListener("close", () => {
      yes.removeEventListener("click", agree);
      byId("confirm-no").removeEventListener("click", close);
      resolve(dialog.returnValue === "yes");
    }, { once: true });
    dialog.returnValue = "";
    dialog.showModal();
    byId("confirm-no").focus();
  });
}
