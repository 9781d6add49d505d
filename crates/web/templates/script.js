(() => {
"use strict";
const root = document.documentElement, byId = id => document.getElementById(id);
let skew = 0, heard = performance.now();
const ago = seconds => {
  if (seconds < 5) return "just now";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= size) return Math.floor(seconds / size) + " " + unit + " ago";
  return Math.floor(seconds) + " s ago";
};
const tick = () => {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const at = Date.parse(time.dateTime), text = ", " + ago((Date.now() + skew - at) / 1000);
    let after = time.nextElementSibling;
    if (!after) {
      after = document.createElement("span");
      time.after(after);
      time.title = new Date(at).toLocaleString();
    }
    if (after.textContent !== text) after.textContent = text;
  }
  const silent = (performance.now() - heard) / 1000, lost = silent > 75, notice = byId("lost");
  root.classList.toggle("lost", lost);
  if (lost && notice.hidden) notice.textContent = "This page cannot reach its server. What it shows may be out of date.";
  notice.hidden = !lost;
};
const look = async () => {
  if (document.hidden) return;
  const answer = await fetch(location.pathname, { cache: "no-cache", signal: AbortSignal.timeout(10000) });
  if (!answer.ok) return;
  const date = Date.parse(answer.headers.get("date"));
  if (date) skew = date - Date.now();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = byId("content"), next = fresh.getElementById("content"), cut = fresh.getElementById("cut");
  if (!next || !cut) return;
  heard = performance.now();
  const said = byId("overall").textContent, focused = document.activeElement;
  const path = focused && now.contains(focused) && focused.getAttribute("href");
  now.replaceWith(document.importNode(next, true));
  byId("cut").replaceWith(document.importNode(cut, true));
  if (path) byId("content").querySelector('a[href="' + CSS.escape(path) + '"]')?.focus({ preventScroll: true });
  root.classList.toggle("stale", fresh.documentElement.classList.contains("stale"));
  document.title = fresh.title;
  document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
  if (byId("overall").textContent !== said) byId("live").textContent = byId("overall").textContent;
  tick();
};
const again = () => { look().catch(() => {}); };
document.addEventListener("visibilitychange", () => {
  // A tab that was hidden did not look; that is no sign of a lost server.
  heard = performance.now();
  again();
});
setInterval(again, 15000);
setInterval(tick, 1000);
setTimeout(again, 3000);
tick();
})();
