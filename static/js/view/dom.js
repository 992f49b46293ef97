/**
 * Finding and making elements. Nothing in this page is ever inserted as HTML:
 * structure comes from the templates in index.html, content through `textContent`.
 */

/**
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  return /** @type {T} */ (/** @type {unknown} */ (found));
}

/**
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {T}
 */
export function part(root, selector) {
  const found = root.querySelector(selector);
  if (found === null) throw new Error(`nothing fits ${selector}`);
  return /** @type {T} */ (/** @type {unknown} */ (found));
}

/** A copy of a template's only element. @param {string} id @returns {HTMLElement} */
export function copyOf(id) {
  const template = /** @type {HTMLTemplateElement} */ (byId(id));
  const first = template.content.firstElementChild;
  if (first === null) throw new Error(`the template #${id} is empty`);
  return /** @type {HTMLElement} */ (document.importNode(first, true));
}

/**
 * A dialog of index.html, which its close button and a click beside it close.
 * @param {string} id
 * @returns {HTMLDialogElement}
 */
export function dialog(id) {
  const found = /** @type {HTMLDialogElement} */ (byId(id));
  found.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target === found || target.closest(".dialog-close") !== null) found.close();
  });
  return found;
}

/** Sets text only where it differs, so that nothing is announced or laid out twice. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An attribute, or none for null. @param {Element} element @param {string} name @param {string | null} value */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {string} name  A symbol in index.html. @returns {SVGSVGElement} */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Makes `list` show exactly these elements in this order, moving as few as possible.
 * @param {Element} list
 * @param {Element[]} wanted
 */
export function arrange(list, wanted) {
  const keep = new Set(wanted);
  for (const child of [...list.children]) if (!keep.has(child)) child.remove();
  let cursor = list.firstElementChild;
  for (const element of wanted) {
    if (element === cursor) cursor = cursor.nextElementSibling;
    else list.insertBefore(element, cursor);
  }
}

/**
 * Runs once for many calls, before the next paint; also in a hidden tab, where no paint comes.
 * @param {() => void} run
 * @returns {() => void}
 */
export function coalesced(run) {
  let frame = 0;
  /** @type {any} */
  let timer = null;
  const now = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    timer = null;
    run();
  };
  return () => {
    if (timer !== null) return;
    timer = setTimeout(now, 150);
    frame = requestAnimationFrame(now);
  };
}
