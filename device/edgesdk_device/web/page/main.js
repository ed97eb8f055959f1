// @ts-check
/** The page: proves a file on what this browser offers, then runs it on the camera and measures it. */
import { Camera } from "./camera.js";
import { decodes } from "./codec.js";
import { Fault, sentence } from "./fault.js";
import { distance, verify } from "./golden.js";
import { FULL, QUICK, measure, median, percentile } from "./measure.js";
import { readModel } from "./model.js";
import { classifies, classify, engineName, engines, openSession } from "./runtime.js";
import { closePictures, offerPictures, openPictures } from "./pictures.js";
import { $, addProof, addRow, showAnswer, showPace, showStatus, showTrouble, veil } from "./show.js";
import { keepOffline } from "./offline.js";
import { browserFacts, get, post, readSite } from "./workstation.js";

/** @typedef {import("./runtime.js").Engine} Engine */
/** @typedef {import("./runtime.js").Session} Session */
/** @typedef {import("./camera.js").Grabbed} Grabbed */

const RECENT = 30; // frames that the pace is taken of
const ALIVE_MS = 5000;

/** What the page knows; exported for whoever looks at it from outside.
 * @type {{site: import("./workstation.js").Site, index: number, model: import("./model.js").Model|null, proved: Engine[],
 *   session: Session|null, camera: Camera|null, running: boolean}} */
export const page = { site: /** @type {any} */ (null), index: 0, model: null, proved: [], session: null, camera: null, running: false };

async function begin() {
  if (!globalThis.isSecureContext || !crypto.subtle) {
    throw new Fault("This page was opened over plain http, where a browser gives neither camera nor hashes: use https.");
  }
  if (typeof WebAssembly !== "object") throw new Fault("This browser has no WebAssembly: take a newer one.");
  page.site = await readSite();
  page.camera = new Camera($("video"), (text) => { stopCamera(); veil(text); });
  $("model").replaceChildren(...page.site.models.map(({ name }, index) => new Option(name, String(index))));
  $("model").disabled = page.site.models.length < 2;
  $("save").hidden = !page.site.workstation?.collect;
  $("where").textContent = page.site.workstation
    ? "The measurements, with what the browser says of itself, when one is done; a frame when you press Save frame. " +
      "The camera's picture never leaves the phone otherwise. All of it goes to the workstation that shows the code, nothing anywhere else."
    : page.site.live ? "Nothing but the wish for the next frame: the camera's computer sends them compressed, and this browser decodes them."
    : "Nothing. The file runs in this browser, the camera's picture stays here, and nothing is sent to anybody.";
  $("model").onchange = () => attempt(() => choose(Number($("model").value)));
  $("camera").onclick = () => attempt(page.running ? async () => stopCamera() : startCamera);
  $("flip").onclick = () => attempt(async () => page.camera?.flip());
  $("engine").onchange = () => attempt(openChosen);
  offerPictures(page);
  $("measure").onclick = () => attempt(() => measureAll(page.proved, false, Number($("minutes").value)));
  $("save").onsubmit = (/** @type {Event} */ event) => { event.preventDefault(); saveFrame(); };
  const task = page.site.workstation?.task;
  if (task) return doTask(task);
  await choose(0);
  if (!page.site.workstation && !page.site.live) await keepOffline(page.site);
}

/** @param {() => Promise<unknown>|undefined} work whose failure becomes a sentence on the page */
async function attempt(work) {
  try {
    showTrouble("");
    await work();
  } catch (error) {
    showTrouble(sentence(error));
  }
}

/** The frame that is being looked at: its session is closed only then. @type {Promise<unknown>} */
let looking = Promise.resolve();
let turn = 0; // of choosing a model or an engine: what an older choice fetched or opened comes too late

/** @param {number} index of a model: fetch, check and prove it */
async function choose(index) {
  const mine = ++turn;
  stopCamera();
  await closePictures();
  await closeSession();
  if (mine !== turn) return;
  Object.assign(page, { index, session: null, model: null, proved: [] });
  for (const name of ["camera", "measure", "engine"]) $(name).disabled = true;
  $("proof").replaceChildren();
  $("rows").tBodies[0].replaceChildren();
  $("rows").hidden = true;
  const { name, url, size_bytes } = page.site.models[index];
  document.title = `${name} · edgesdk`;
  showStatus("waiting", `fetching ${name}, ${(size_bytes / 1e6).toFixed(1)} MB`);
  const whole = addProof("the file's sha256");
  let model;
  try {
    const answer = await get(url);
    model = await readModel(new Uint8Array(await answer.arrayBuffer()));
  } catch (error) {
    if (mine !== turn) return;
    whole(false, sentence(error));
    showStatus("lost", "the file is refused");
    return;
  }
  if (mine !== turn) return;
  page.model = model;
  whole(true, `the file is whole: sha256 ${model.contract.sha256.slice(0, 12)}…`);
  if (!model.contract.source.trained) addProof("")(false, "its weights are random: only size and speed mean something");
  $("labels").replaceChildren(...model.contract.output.labels.slice(0, 1000).map((label) => new Option(label, label)));
  await prove(model);
}

/** @param {import("./model.js").Model} model replay its golden outputs on each engine */
async function prove(model) {
  const offered = engines();
  const wasm = offered.filter(({ accelerator }) => accelerator === "wasm");
  const tried = [wasm[0], ...wasm.slice(-1).filter((engine) => engine !== wasm[0]), ...offered.filter(({ accelerator }) => accelerator === "webgpu")];
  for (const engine of tried) {
    const name = engineName(engine), line = addProof(`${name}: replaying the golden outputs`);
    showStatus(page.proved.length ? "ready" : "waiting", `proving on ${name}`);
    try {
      const session = await openSession(model, engine);
      const verified = await verify(session).finally(() => session.close());
      if (page.model !== model) return;
      line(verified.ok, verified.ok ? `${name} agrees with ${verified.inputs} golden outputs (${distance(verified)})`
        : `${name} is refused: it computes something else (${distance(verified)})`);
      if (verified.ok) page.proved.push(engine);
    } catch (error) {
      line(false, sentence(error));
    }
    if (page.model !== model) return;
    if (page.proved.length === 1) performance.mark("verified");
  }
  if (!("gpu" in navigator)) addProof("")(false, "WebGPU: this browser has none; wasm runs the model");
  if (!page.proved.length) return showStatus("lost", "nothing here gives the golden outputs: the model is not run");
  const between = wasm.filter((engine) => !tried.includes(engine) && page.proved.includes(wasm[wasm.length - 1]));
  page.proved = offered.filter((engine) => page.proved.includes(engine) || between.includes(engine));
  $("engine").replaceChildren(...page.proved.map((engine, index) => new Option(engineName(engine), String(index))));
  for (const name of ["engine", "measure"]) $(name).disabled = false;
  showStatus("ready", "proved on this phone");
  await openChosen();
  if (page.model !== model || decodes(model)) return;
  $("camera").disabled = !classifies(model);
  if (!classifies(model)) veil(`This file is no classifier, its output is ${model.contract.output.kind}: it can be measured, not shown the camera.`);
}

async function openChosen() {
  const mine = ++turn;
  await closePictures();
  if (page.model === null || mine !== turn) return;
  await closeSession();
  if (mine !== turn) return;
  const session = await openSession(page.model, page.proved[Number($("engine").value)]);
  if (mine !== turn) return session.close();
  page.session = session;
  await openPictures(page);
}

/** Free what runs, after the frame that it is at. */
async function closeSession() {
  const { session } = page;
  page.session = null;
  await looking.catch(() => undefined); // told where the frame was asked for
  session?.close();
}

async function startCamera() {
  veil("Allow the camera when the browser asks.");
  try {
    if (!await page.camera?.open()) return;
  } catch (error) {
    veil(sentence(error));
    return;
  }
  veil("");
  page.running = true;
  $("camera").textContent = "Stop camera";
  $("flip").disabled = $("save-frame").disabled = false;
  watch().catch((error) => { stopCamera(); veil(sentence(error)); });
}

function stopCamera() {
  page.camera?.close(); // also where the browser still asks for it
  if (!page.running) return;
  page.running = false;
  $("camera").textContent = "Start camera";
  $("flip").disabled = $("save-frame").disabled = true;
  veil("The camera is off. Its frames stay on this phone.");
}

/** Answer the camera's newest frame until it is stopped. */
async function watch() {
  /** @type {{at: number, age: number, invoke: number, around: number}[]} */
  const recent = [];
  while (page.running && page.camera !== null) {
    await page.camera.next();
    const grabbed = page.running ? page.camera.grab() : null;
    if (grabbed === null || page.session === null) continue;
    const seen = see(page.session, grabbed);
    looking = seen;
    const { best, invokeMs, aroundMs } = await seen;
    const at = performance.now();
    recent.push({ at, age: at - grabbed.capturedAt, invoke: invokeMs, around: aroundMs + grabbed.grabMs });
    if (recent.length > RECENT) recent.shift();
    showAnswer(best);
    const seconds = (at - recent[0].at) / 1e3;
    showPace({ fps: seconds ? (recent.length - 1) / seconds : 0, age: median(recent.map((item) => item.age)),
      invoke: median(recent.map((item) => item.invoke)), around: median(recent.map((item) => item.around)) });
  }
}

/**
 * The best labels of a frame, and what took how long.
 * @param {Session} session
 * @param {Grabbed} grabbed
 */
export async function see(session, { frame }) {
  const begun = performance.now();
  const tensor = session.tensor(session.prepare(frame));
  const prepared = performance.now();
  const output = await session.run(tensor);
  const invoked = performance.now();
  tensor.delete();
  const best = classify(session.model, await session.read(output));
  return { best, invokeMs: invoked - prepared, aroundMs: performance.now() - begun - (invoked - prepared) };
}

async function saveFrame() {
  const label = $("label").value;
  $("saved").textContent = "";
  delete $("saved").dataset.bad;
  try {
    page.camera?.grab();
    const picture = await /** @type {Camera} */ (page.camera).picture();
    const { saved } = await post(`save?label=${encodeURIComponent(label)}`, picture);
    $("saved").textContent = `Saved as ${saved}`;
  } catch (error) {
    $("saved").dataset.bad = "";
    $("saved").textContent = `Not saved: ${sentence(error)}`;
  }
}

/** @param {import("./workstation.js").Task} task of `edgesdk bench --on phone` */
async function doTask(task) {
  const beat = setInterval(() => post("alive", "{}").catch(() => undefined), ALIVE_MS);
  try {
    for (let index = 0; index < page.site.models.length; index++) {
      await choose(index);
      const offered = engines(), most = offered.filter(({ accelerator }) => accelerator === "wasm").length;
      const counts = task.threads.length ? task.threads : [1, most].slice(0, most);
      const wasm = counts.map((threads) => ({ accelerator: /** @type {const} */ ("wasm"), threads }));
      const gpu = { accelerator: /** @type {const} */ ("webgpu"), threads: 1 };
      await measureAll([...(task.backends.includes("wasm") ? wasm : []), ...(task.backends.includes("webgpu") ? [gpu] : [])],
        task.quick, task.sustained_minutes);
    }
    await post("done", "{}");
    showStatus("ready", "measured; the workstation has it all");
  } finally {
    clearInterval(beat);
  }
}

/** @param {Engine[]} wanted @param {boolean} quick @param {number} minutes */
async function measureAll(wanted, quick, minutes) {
  if (page.model === null) return;
  stopCamera();
  await closePictures();
  const choices = ["model", "engine", "measure", "camera"]; // not while it measures
  for (const name of choices) $(name).disabled = true;
  const awake = await navigator.wakeLock?.request("screen").catch(() => null);
  const browser = await browserFacts(), { index, model } = page;
  const progress = (/** @type {string} */ text) => { $("progress").textContent = text; };
  try {
    const possible = wanted.filter((engine) => engine.accelerator === "wasm" ? engine.threads <= engines().filter(({ accelerator }) => accelerator === "wasm").length : "gpu" in navigator);
    for (const engine of wanted.filter((engine) => !possible.includes(engine))) {
      await report({ engine, refused: `this browser offers no ${engineName(engine)}`, runs: null });
    }
    for await (const result of measure(model, possible, { effort: quick ? QUICK : FULL, sustainedMinutes: minutes, progress })) await report(result);
    progress(page.site.workstation ? "measured and sent to the workstation" : "measured");
  } finally {
    await awake?.release();
    for (const name of choices) $(name).disabled = false;
    $("model").disabled = page.site.models.length < 2;
    $("camera").disabled = !classifies(model);
    if (page.session && page.model === model) await openPictures(page);
  }

  /** @param {import("./measure.js").Result} result */
  async function report({ engine, refused, runs }) {
    const ms = (/** @type {number} */ value) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
    addRow(refused ? [engineName(engine), refused] : [engineName(engine), ...[50, 90, 99].map((share) => ms(percentile(runs.invoke_ms, share))),
      ms(percentile(runs.frame_ms, 90)), ms(runs.load_ms), ms(runs.first_invoke_ms), drop(runs.sustained)], Boolean(refused));
    if (!page.site.workstation) return;
    const posted = { model: index, backend: engine.accelerator, threads: engine.threads, browser, quick, refused, runs };
    await post("measured", JSON.stringify(posted));
  }
}

/** @param {{frame_ms: number[]}[]} sustained how much slower the last stretch was than the first */
function drop(sustained) {
  if (sustained.length < 2) return "";
  const change = median(sustained[sustained.length - 1].frame_ms) / median(sustained[0].frame_ms) - 1;
  return `${change < 0 ? "" : "+"}${(100 * change).toFixed(0)} %`;
}

begin().catch((error) => showStatus("lost", sentence(error)));
