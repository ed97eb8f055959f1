// @ts-check
/** A codec's pictures on the page: of a stream that was opened, or of a camera that sends its newest frames. */
import { decodes, openCodec } from "./codec.js";
import { sentence } from "./fault.js";
import { median } from "./measure.js";
import { $, showPace, showPicture, showStatus, veil } from "./show.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {{model: Model|null, session: import("./runtime.js").Session|null, site: import("./workstation.js").Site}} Page */

const RECENT = 30; // pictures that the pace is taken of
const RETRY_MS = 2000, FULL = 1013;
const LARGEST_FILE = 64 * 2 ** 20;

/** What is shown; a newer turn ends the pictures of an older one.
 * @type {{model: Model|null, codec: import("./codec.js").Codec|null, last: Uint8Array|null, turn: number,
 *   work: Promise<void>, line: WebSocket|null, recent: {at: number, invoke: number, around: number}[]}} */
const shown = { model: null, codec: null, last: null, turn: 0, work: Promise.resolve(), line: null, recent: [] };

/** @param {Page} page */
export function offerPictures(page) {
  $("stream").onchange = async () => {
    const [file] = $("stream").files;
    $("stream").value = ""; // so that the same file can be opened again
    if (!file) return;
    if (file.size > LARGEST_FILE) return veil(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB, this page opens up to 64 MB.`);
    shown.last = new Uint8Array(await file.arrayBuffer());
    await showStream(page, shown.last);
  };
}

/** Where the model is a decoder, make room for its pictures and go on with them. @param {Page} page */
export async function openPictures(page) {
  const model = /** @type {Model} */ (page.model), on = decodes(model), live = Boolean(page.site.live);
  for (const name of ["video", "camera", "flip", "decided", "bars"]) $(name).hidden = on;
  $("age").parentElement.hidden = on;
  $("picture").hidden = !on;
  $("open").hidden = !on || live;
  if (!on) return;
  if (shown.model !== model) Object.assign(shown, { model, last: null, codec: await openCodec(model) });
  shown.recent = [];
  if (live) watch(page);
  else if (shown.last) showStream(page, shown.last);
  else veil("Open a stream of edgesdk compress, or a session of edgesdk run --compress.");
}

/** No more pictures of this session; waits for the one that is being decoded. */
export async function closePictures() {
  shown.turn++;
  const { line } = shown;
  shown.line = null;
  line?.close();
  await shown.work;
}

/** @param {Page} page @param {Uint8Array} data one after another its pictures, until others are to be shown */
function showStream(page, data) {
  const turn = ++shown.turn;
  shown.work = shown.work.then(() => play(page, data, turn)).catch((error) => veil(sentence(error)));
  return shown.work;
}

/** @param {Page} page @param {Uint8Array} data @param {number} turn */
async function play({ session }, data, turn) {
  if (turn !== shown.turn || session === null || shown.codec === null) return;
  let begun = performance.now();
  for await (const picture of shown.codec.pictures(session, data)) {
    await new Promise(requestAnimationFrame);
    showPicture(picture);
    veil("");
    const at = performance.now(), { recent } = shown;
    recent.push({ at, invoke: picture.invokeMs, around: at - begun - picture.invokeMs });
    if (recent.length > RECENT) recent.shift();
    const seconds = (at - recent[0].at) / 1e3;
    showPace({ fps: seconds ? (recent.length - 1) / seconds : 0, age: 0, invoke: median(recent.map((item) => item.invoke)),
      around: median(recent.map((item) => item.around)) });
    if (turn !== shown.turn) return;
    begun = at;
  }
}

/** Show what the camera sends, the newest frame each time one was drawn. @param {Page} page */
function watch(page) {
  const line = new WebSocket(new URL("live", document.baseURI).href.replace(/^http/, "ws"));
  shown.line = line;
  line.binaryType = "arraybuffer";
  veil("Waiting for the camera's first frame.");
  line.onmessage = async ({ data }) => {
    await showStream(page, new Uint8Array(data));
    if (line.readyState === WebSocket.OPEN) line.send("next");
  };
  line.onopen = () => showStatus("ready", "proved on this phone; live");
  line.onclose = ({ code, reason }) => {
    if (line !== shown.line) return;
    showStatus("lost", code === FULL ? `${reason}: trying again` : "no connection to the camera's computer: trying again");
    setTimeout(() => line === shown.line && watch(page), RETRY_MS);
  };
}
