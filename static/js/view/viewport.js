/**
 * Keeps the page as high as what is visible. Where a phone's keyboard lies over the page instead of
 * making it smaller (iOS), only the visual viewport tells.
 */

export function followViewport() {
  const viewport = window.visualViewport;
  if (!viewport) return;
  const fit = () => {
    const covered = viewport.scale === 1 && window.innerHeight - viewport.height > 1;
    const { style } = document.documentElement;
    if (covered) style.setProperty("--height", `${viewport.height}px`);
    else style.removeProperty("--height");
    if (covered) window.scrollTo(0, 0);
  };
  viewport.addEventListener("resize", fit);
  viewport.addEventListener("scroll", fit);
}
