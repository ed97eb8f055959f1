// @ts-check
/** What a file costs in this browser: measured as edgesdk_device/bench.py does it, every sample kept. */
import { blocksFrame, distance, verify } from "./golden.js";
import { Fault, sentence } from "./fault.js";
import { engineName, openSession } from "./runtime.js";

/** @typedef {import("./runtime.js").Engine} Engine */
/** @typedef {import("./runtime.js").Session} Session */
/** @typedef {import("./preprocess.js").Frame} Frame */
/** @typedef {{prepare: number, invoke: number, post: number}} Parts milliseconds */
/** @typedef {{samples: number, seconds: number, blockS: number, pacedS: number}} Effort */
/** What the workstation takes; see edgesdk_device/web/posted.py.
 * @typedef {{engine: Engine, refused: string, runs: any}} Result */

/** @type {Effort} */
export const FULL = { samples: 300, seconds: 10, blockS: 0.25, pacedS: 5 };
/** @type {Effort} */
export const QUICK = { samples: 20, seconds: 0.5, blockS: 0.1, pacedS: 0.5 };
const MOST_S = 60; // a slow engine gets no more than this, however few its samples are
const LEAST_RUNS = 5;
const WARMUP = 5;
const CYCLED_FRAMES = 8;
const FRAME_HEIGHT = 480, FRAME_WIDTH = 640;
const CAMERA_MS = 1000 / 30;
const YARDSTICK_RUNS = 3, YARDSTICK_STEPS = 12;

/**
 * Measure a model on engines, which take turns in short blocks.
 * @param {import("./model.js").Model} model
 * @param {Engine[]} wanted
 * @param {{effort: Effort, sustainedMinutes: number, progress: (text: string) => void}} options
 * @returns {AsyncGenerator<Result>} one each, as they are finished
 */
export async function* measure(model, wanted, { effort, sustainedMinutes, progress }) {
  const frames = model.contract.input.color === "latent" ? [] : await Promise.all(
    Array.from({ length: CYCLED_FRAMES }, (_, seed) => blocksFrame(seed, FRAME_HEIGHT, FRAME_WIDTH)));
  const turns = Math.floor(Math.random() * 1e9) + 1; // no other measurement took turns with these
  const cells = wanted.map((engine) => new Cell(model, engine, frames));
  try {
    for (const cell of cells) {
      progress(`opening on ${engineName(cell.engine)}`);
      await cell.attempt(() => cell.open());
    }
    for (let running = cells.filter((cell) => !cell.refused); running.length;) {
      for (const cell of shuffled(running)) {
        progress(`${engineName(cell.engine)}: ${cell.invokeMs.length} runs`);
        await cell.attempt(() => cell.block(effort.blockS));
        await rest();
      }
      running = running.filter((cell) => !cell.refused && !cell.enough(effort));
    }
    for (const cell of cells) {
      if (!cell.refused) {
        await cell.attempt(async () => {
          progress(`${engineName(cell.engine)}: at a camera's pace`);
          cell.paced = await cell.pace(effort.pacedS);
          await cell.sustain(sustainedMinutes, progress);
        });
      }
      yield { engine: cell.engine, refused: cell.refused, runs: cell.refused ? null : cell.runs(turns) };
    }
  } finally {
    for (const cell of cells) cell.session?.close();
  }
}

/** One measurement on its way. */
class Cell {
  /**
   * @param {import("./model.js").Model} model
   * @param {Engine} engine
   * @param {Frame[]} frames none for what takes a code
   */
  constructor(model, engine, frames) {
    this.model = model;
    this.engine = engine;
    this.frames = frames;
    this.refused = "";
    /** @type {Session|null} */
    this.session = null;
    this.firstMs = 0;
    this.warmupMs = 0;
    this.difference = 0;
    /** @type {number[]} */ this.invokeMs = [];
    /** @type {number[]} */ this.blocks = [];
    /** @type {number[]} */ this.yardstickMs = [];
    /** @type {Parts[]} */ this.parts = [];
    this.spentMs = 0;
    /** @type {any} */ this.paced = null;
    /** @type {{end_s: number, frame_ms: number[]}[]} */ this.sustained = [];
    this.code = new Uint8Array(model.contract.input.height * model.contract.input.width * model.contract.input.channels).fill(128);
  }

  /** @param {() => Promise<void>} work whose failure is kept as the reason */
  async attempt(work) {
    try {
      await work();
    } catch (error) {
      this.refused = sentence(error);
    }
  }

  get opened() {
    if (this.session === null) throw new Fault("The model is not open.");
    return this.session;
  }

  async open() {
    this.session = await openSession(this.model, this.engine);
    const begun = performance.now();
    await this.frame(0);
    this.firstMs = performance.now() - begun;
    const verified = await verify(this.session);
    if (!verified.ok) {
      throw new Fault(`${engineName(this.engine)} computes something else than the golden outputs (${distance(verified)}).`);
    }
    this.difference = verified.difference;
    const warm = performance.now();
    for (let run = 0; run < WARMUP; run++) await this.frame(run);
    this.warmupMs = performance.now() - warm;
  }

  /** @param {Effort} effort */
  enough(effort) {
    const runs = Math.min(this.invokeMs.length, this.parts.length);
    if (this.spentMs > 1e3 * MOST_S) return runs >= LEAST_RUNS;
    return runs >= effort.samples && this.spentMs >= 1e3 * effort.seconds;
  }

  /** @param {number} seconds of runs alone, then as long of whole frames */
  async block(seconds) {
    this.yardstickMs.push(yardstick());
    const { opened } = this;
    const tensor = opened.tensor(opened.feed(this.code));
    const begun = performance.now();
    let count = 0;
    try {
      while (!count || performance.now() < begun + 1e3 * seconds) {
        const before = performance.now();
        const output = await opened.run(tensor);
        if (this.engine.accelerator === "webgpu") await output.data(); // only then the GPU is done
        this.invokeMs.push(performance.now() - before);
        output.delete();
        count++;
      }
    } finally {
      tensor.delete();
    }
    this.blocks.push(count);
    const middle = performance.now();
    this.spentMs += middle - begun;
    for (let index = 0; !index || performance.now() < middle + 1e3 * seconds; index++) this.parts.push(await this.frame(index));
  }

  /** @param {number} index @returns {Promise<Parts>} a frame to its largest output */
  async frame(index) {
    const { opened } = this;
    const begun = performance.now();
    const values = this.frames.length ? opened.prepare(this.frames[index % this.frames.length]) : opened.feed(this.code);
    const tensor = opened.tensor(values);
    const prepared = performance.now();
    const output = await opened.run(tensor);
    if (this.engine.accelerator === "webgpu") await output.data();
    const invoked = performance.now();
    const scores = await opened.read(output);
    scores.reduce((best, score, place) => (score > scores[best] ? place : best), 0);
    tensor.delete();
    return { prepare: prepared - begun, invoke: invoked - prepared, post: performance.now() - invoked };
  }

  /** @param {number} seconds of frames that come thirty a second, the newest one always */
  async pace(seconds) {
    /** @type {(Parts & {queue: number})[]} */
    const parts = [];
    let dropped = 0, due = performance.now();
    const begun = due;
    while (parts.length < 2 || performance.now() < begun + 1e3 * seconds) {
      await rest(Math.max(0, due - performance.now()));
      const queue = Math.max(0, performance.now() - due);
      parts.push({ queue, ...(await this.frame(parts.length)) });
      const late = Math.floor((performance.now() - due) / CAMERA_MS);
      dropped += Math.max(0, late - 1);
      due += CAMERA_MS * Math.max(1, late);
    }
    const queue = median(parts.map((part) => part.queue));
    return { fps: 1e3 * parts.length / (performance.now() - begun), frame_ms: parts.map((part) => tidy(part.queue + total(part))),
      age: { capture: 0, queue, ...medians(parts) }, dropped };
  }

  /** @param {number} minutes @param {(text: string) => void} progress */
  async sustain(minutes, progress) {
    const count = minutes && Math.max(1, Math.round(minutes));
    for (let index = 1; index <= count; index++) {
      progress(`${engineName(this.engine)}: minute ${index} of ${count}`);
      const { frame_ms } = await this.pace(60 * minutes / count);
      this.sustained.push({ end_s: index * 60 * minutes / count, frame_ms });
    }
  }

  /** @param {number} turns */
  runs(turns) {
    return {
      load_ms: this.opened.loadMs, first_invoke_ms: this.firstMs, warmup_ms: this.warmupMs, max_difference: this.difference,
      operations: this.model.operations, accelerated: this.opened.fully, turns,
      invoke_ms: this.invokeMs.map(tidy), blocks: this.blocks, yardstick_ms: this.yardstickMs.map(tidy),
      frame_ms: this.parts.map((part) => tidy(total(part))), age: medians(this.parts), paced: this.paced, sustained: this.sustained,
    };
  }
}

/** @param {number[]} values */
export function median(values) {
  return percentile(values, 50);
}

/** @param {number[]} values @param {number} share in percent, between the two nearest values as numpy does it */
export function percentile(values, share) {
  const sorted = Float64Array.from(values).sort(), place = (sorted.length - 1) * share / 100;
  const low = Math.floor(place), high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

/** @param {Parts[]} parts @returns {Parts} */
function medians(parts) {
  return { prepare: median(parts.map((part) => part.prepare)), invoke: median(parts.map((part) => part.invoke)),
    post: median(parts.map((part) => part.post)) };
}

/** @param {Parts} part */
function total({ prepare, invoke, post }) {
  return prepare + invoke + post;
}

/** @param {number} value */
function tidy(value) {
  return Math.max(0, Math.round(value * 1e5) / 1e5);
}

/** What a fixed piece of work takes, the fastest of a few: the processor's pace, not its queue. */
function yardstick() {
  const first = new Float32Array(1 << 14).fill(1.001), out = new Float32Array(1 << 14);
  let fastest = Infinity;
  for (let run = 0; run < YARDSTICK_RUNS; run++) {
    const begun = performance.now();
    for (let step = 0; step < YARDSTICK_STEPS; step++) for (let index = 0; index < out.length; index++) out[index] = first[index] * first[index];
    fastest = Math.min(fastest, performance.now() - begun);
  }
  return fastest;
}

/** @template T @param {T[]} items @returns {T[]} */
function shuffled(items) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** Give the page time to draw. @param {number} ms */
function rest(ms = 0) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
