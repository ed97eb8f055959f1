// The page of the camera app. The server sends events as text, and each frame as one binary message: four bytes of
// length, that much JSON, then a JPEG. The page answers each frame it has drawn, so that none grows old on the way.

const $ = (id) => document.getElementById(id);
const QUIET_MS = 3000; // no frame for so long: the picture is not now
const RETRY_MS = 2000;
const FULL = 1013;
const KEPT_EVENTS = 50;
const MOST_CHIPS = 12;

let line = null;
let lastFrameAt = 0;
let trouble = ""; // what the source said last, "" while all is well
let refusal = ""; // why the server does not let us watch
let saving = false;

function connect() {
  line = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  line.binaryType = "arraybuffer";
  line.onmessage = ({ data }) => (typeof data === "string" ? onText(JSON.parse(data)) : onFrame(data));
  line.onclose = ({ code, reason }) => {
    refusal = code === FULL ? `${reason}: trying again` : "";
    line = null;
    setTimeout(connect, RETRY_MS);
    showStatus();
  };
}

function onText(event) {
  if (event.event === "hello") return onHello(event);
  addEvent(event);
  showStatus();
}

function onHello(hello) {
  refusal = "";
  $("model").textContent = hello.model;
  document.title = `${hello.model} · edgesdk`;
  $("save").hidden = !hello.collect;
  $("labels").replaceChildren(...hello.labels.map((label) => new Option(label, label)));
  $("chips").replaceChildren(...(hello.labels.length <= MOST_CHIPS ? hello.labels.map(chip) : []));
  showRegion(hello.region);
  trouble = "";
  $("events").replaceChildren();
  hello.events.forEach(addEvent);
  showStatus();
}

async function onFrame(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const picture = await createImageBitmap(new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }));
  requestAnimationFrame(() => {
    draw(picture);
    showFacts(facts);
    lastFrameAt = performance.now();
    showStatus();
    if (line !== null && line.readyState === WebSocket.OPEN) line.send("next");
  });
}

function draw(picture) {
  const canvas = $("picture");
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
    $("frame").style.setProperty("--ratio", picture.width / picture.height);
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
}

function showFacts(facts) {
  const decided = $("decided");
  decided.textContent = facts.decided ?? "none of these";
  decided.toggleAttribute("data-nothing", facts.decided === null);
  $("still").hidden = !facts.still;
  $("picture").setAttribute("aria-label", `Live picture: ${decided.textContent}`);
  const bars = $("bars");
  while (bars.children.length > facts.top.length) bars.lastChild.remove();
  facts.top.forEach(([label, score], i) => {
    const bar = bars.children[i] ?? bars.appendChild(newBar());
    bar.style.setProperty("--share", score);
    bar.children[0].textContent = label;
    bar.children[1].textContent = `${(100 * score).toFixed(1)} %`;
  });
  number("fps", facts.fps.toFixed(1));
  number("age50", facts.age_p50_ms.toFixed(0), "ms");
  number("age95", facts.age_p95_ms.toFixed(0), "ms");
  number("invoke", facts.invoke_ms.toFixed(1), "ms");
  number("dropped", facts.dropped);
  number("corrupt", facts.corrupt);
  $("heat").hidden = facts.temperature_c === null;
  if (facts.temperature_c !== null) number("temperature", facts.temperature_c.toFixed(0), "°C");
  $("throttled").hidden = !facts.throttled?.length;
  $("throttled").textContent = `The board slows down: ${facts.throttled?.join(", ")}.`;
}

function newBar() {
  const bar = document.createElement("li");
  bar.append(document.createElement("span"), document.createElement("span"));
  return bar;
}

function number(id, value, unit = "") {
  const place = $(id);
  const text = `${value}`;
  if (place.firstChild?.nodeValue?.trim() === text) return;
  const small = document.createElement("small");
  small.textContent = unit;
  place.replaceChildren(unit ? `${text} ` : text, ...(unit ? [small] : []));
}

function showStatus() {
  const quiet = performance.now() - lastFrameAt > QUIET_MS;
  const [state, text] =
    line === null || line.readyState !== WebSocket.OPEN
      ? ["lost", refusal || "no connection to the camera's computer"]
      : trouble
        ? ["lost", trouble]
        : quiet
          ? ["waiting", lastFrameAt ? "no new frame" : "waiting for the first frame"]
          : ["live", "live"];
  const status = $("status");
  if (status.textContent !== state) status.textContent = state;
  status.dataset.state = state;
  $("veil").classList.toggle("gone", state === "live");
  if (state !== "live") $("veil").textContent = text;
  $("save-frame").disabled = saving || state !== "live";
}

function showRegion(region) {
  $("region").hidden = region === null;
  if (region === null) return;
  const [left, top, right, bottom] = region.map((share) => 100 * share);
  Object.assign($("region").style, { left: `${left}%`, top: `${top}%`, right: `${100 - right}%`, bottom: `${100 - bottom}%` });
}

function addEvent(event) {
  if (event.event === "lost" || event.event === "stalled") trouble = event.text;
  if (event.event === "recovered") trouble = "";
  $("quiet").hidden = true;
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = event.time;
  time.textContent = new Date(event.time).toLocaleTimeString();
  const what = document.createElement("span");
  const kind = document.createElement("b");
  kind.className = event.event;
  kind.textContent = event.event;
  what.append(kind, ` ${event.text ?? event.label}`);
  item.append(time, what);
  $("events").prepend(item);
  while ($("events").children.length > KEPT_EVENTS) $("events").lastChild.remove();
}

function chip(label) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.setAttribute("aria-pressed", "false");
  button.onclick = () => {
    $("label").value = label;
    showChips();
  };
  return button;
}

function showChips() {
  for (const button of $("chips").children) {
    button.setAttribute("aria-pressed", String(button.textContent === $("label").value));
  }
}

async function save(submit) {
  submit.preventDefault();
  saving = true;
  showStatus();
  let text = "";
  let bad = true;
  try {
    const answer = await fetch("/save", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ label: $("label").value }),
    });
    const result = await answer.json();
    bad = !answer.ok;
    text = answer.ok ? `Saved as ${result.saved}` : `Not saved: ${result.error}`;
  } catch {
    text = "Not saved: no connection to the camera's computer";
  }
  $("saved").textContent = text;
  $("saved").toggleAttribute("data-bad", bad);
  saving = false;
  showStatus();
}

$("save").addEventListener("submit", save);
$("label").addEventListener("input", showChips);
setInterval(showStatus, 1000);
connect();
