// What a mark in a picture means, beside the pointer or the finger; without this script the browser shows it itself.
const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);
for (const title of document.querySelectorAll("svg title")) {
  const mark = title.parentNode;
  mark.dataset.tip = title.textContent;
  mark.setAttribute("tabindex", "-1");
  title.remove();
}
const show = (event) => {
  const text = event.target.dataset?.tip;
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const width = tip.offsetWidth, height = tip.offsetHeight;
  tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8)) + "px";
  tip.style.top = (event.clientY > height + 24 ? event.clientY - height - 14 : event.clientY + 18) + "px";
};
for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, show);
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
// The files to take along are made here of what the page holds.
for (const link of document.querySelectorAll("a[data-from]")) {
  const text = document.getElementById(link.dataset.from).textContent;
  link.href = URL.createObjectURL(new Blob([link.type === "text/csv" ? JSON.parse(text) : text], { type: link.type }));
}
