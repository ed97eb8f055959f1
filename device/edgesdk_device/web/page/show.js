// @ts-check
/** What the page writes on itself. */

/** @typedef {import("./runtime.js").Engine} Engine */

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/** @param {"waiting"|"ready"|"lost"} state @param {string} text */
export function showStatus(state, text) {
  $("status").dataset.state = state;
  $("status").textContent = text;
}

/** @param {string} text "" for none */
export function showTrouble(text) {
  $("trouble").hidden = !text;
  $("trouble").textContent = text;
}

/** @param {string} text a line that waits; @returns {(ok: boolean, text: string) => void} which settles it */
export function addProof(text) {
  const line = document.createElement("li");
  line.textContent = text;
  $("proof").append(line);
  return (ok, settled) => {
    line.dataset.ok = String(ok);
    line.textContent = settled;
  };
}

/** @param {string} text over the picture, "" for none */
export function veil(text) {
  $("veil").hidden = !text;
  $("veil").textContent = text;
}

/** @param {import("./codec.js").Picture} picture */
export function showPicture({ data, height, width, shownHeight, shownWidth }) {
  const canvas = $("picture");
  if (canvas.height !== height || canvas.width !== width) Object.assign(canvas, { height, width });
  canvas.style.aspectRatio = `${shownWidth} / ${shownHeight}`;
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

/** @param {{label: string, score: number}[]} best */
export function showAnswer(best) {
  $("decided").textContent = best[0].label;
  delete $("decided").dataset.nothing;
  const bars = $("bars");
  while (bars.children.length < best.length) bars.append(newBar());
  best.forEach(({ label, score }, index) => {
    const [name, share, bar] = bars.children[index].children;
    name.textContent = label;
    share.textContent = `${(100 * score).toFixed(1)} %`;
    bar.value = score;
  });
}

function newBar() {
  const line = document.createElement("li"), bar = document.createElement("progress");
  bar.max = 1;
  bar.setAttribute("aria-hidden", "true");
  line.append(document.createElement("span"), document.createElement("span"), bar);
  return line;
}

/** @param {{fps: number, age: number, invoke: number, around: number}} pace */
export function showPace({ fps, age, invoke, around }) {
  $("fps").textContent = fps ? fps.toFixed(1) : "–";
  $("age").textContent = age.toFixed(0);
  $("invoke").textContent = invoke.toFixed(1);
  $("around").textContent = around.toFixed(1);
}

/** @param {string[]} cells @param {boolean} refused whether the second is a reason */
export function addRow(cells, refused) {
  const row = $("rows").tBodies[0].insertRow();
  for (const text of cells) row.insertCell().textContent = text;
  if (refused) {
    row.cells[1].colSpan = 7;
    row.cells[1].className = "bad";
  }
  $("rows").hidden = false;
}
