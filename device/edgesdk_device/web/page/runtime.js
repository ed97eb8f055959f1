// @ts-check
/** LiteRT.js: one file opened on wasm or WebGPU. */
import { Fault, sentence } from "./fault.js";
import { FLOAT32, UINT8 } from "./graph.js";
import { fitFrame, toTensor, valueTable } from "./preprocess.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./preprocess.js").Frame} Frame */
/** @typedef {{accelerator: "wasm"|"webgpu", threads: number}} Engine */

const MOST_THREADS = 4;
/** @type {Map<string, Promise<any>>} accelerator -> LiteRT.js with its runtime loaded */
const loaded = new Map();

/**
 * The engines that this browser may have; whether they compute rightly is for the golden outputs to say.
 * @returns {Engine[]}
 */
export function engines() {
  const most = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  /** @type {Engine[]} */
  const found = Array.from({ length: most }, (_, index) => ({ accelerator: "wasm", threads: index + 1 }));
  return "gpu" in navigator ? [...found, { accelerator: "webgpu", threads: 1 }] : found;
}

/** @param {Engine} engine */
export function engineName(engine) {
  if (engine.accelerator === "webgpu") return "WebGPU";
  return `wasm, ${engine.threads} thread${engine.threads === 1 ? "" : "s"}`;
}

/**
 * LiteRT.js for an accelerator. Each has an instance of its own: the wasm build with threads cannot run WebGPU, whose
 * build waits for the GPU in the middle of a call (JSPI).
 * @param {Engine["accelerator"]} accelerator
 */
function load(accelerator) {
  let promise = loaded.get(accelerator);
  if (promise === undefined) {
    promise = start(accelerator);
    loaded.set(accelerator, promise);
    promise.catch(() => loaded.delete(accelerator));
  }
  return promise;
}

/** @param {Engine["accelerator"]} accelerator */
async function start(accelerator) {
  const litert = await import(new URL(`./litertjs/index.js?${accelerator}`, import.meta.url).href);
  const folder = new URL("./litertjs/", import.meta.url).href;
  if (accelerator === "webgpu") {
    await litert.loadLiteRt(folder, { jspi: "Suspending" in WebAssembly });
    return litert;
  }
  try {
    await litert.loadLiteRt(folder, { threads: globalThis.crossOriginIsolated });
    return litert;
  } catch (error) {
    if (!globalThis.crossOriginIsolated) throw error;
  }
  const second = await import(new URL("./litertjs/index.js?plain", import.meta.url).href);
  await second.loadLiteRt(folder, {});
  return second;
}

/** One file on one engine. */
export class Session {
  /**
   * @param {Model} model
   * @param {Engine} engine
   * @param {any} litert
   * @param {any} compiled
   * @param {number} loadMs
   */
  constructor(model, engine, litert, compiled, loadMs) {
    this.model = model;
    this.engine = engine;
    this.family = engine.accelerator === "webgpu" ? "gpu" : "cpu";
    this.loadMs = loadMs;
    this.fully = Boolean(compiled.isFullyAccelerated);
    this.litert = litert;
    this.compiled = compiled;
    this.table = valueTable(model.contract.input, model.input);
  }

  /** @param {Frame} frame of any size -> the input tensor's values */
  prepare(frame) {
    return this.feed(fitFrame(frame, this.model.contract.input));
  }

  /** @param {Uint8Array} pixels at the model's size -> the input tensor's values */
  feed(pixels) {
    return toTensor(pixels, this.table);
  }

  /** @param {Float32Array|Uint8Array} values -> the input tensor */
  tensor(values) {
    return new this.litert.Tensor(values, this.model.input.shape);
  }

  /**
   * Run once; the runtime alone.
   * @param {any} tensor
   * @returns {Promise<any>} the output tensor, to be read with `read`
   */
  async run(tensor) {
    const [output] = await this.compiled.run(tensor);
    return output;
  }

  /**
   * The outputs as numbers; frees the tensor.
   * @param {any} output
   * @returns {Promise<Float32Array>}
   */
  async read(output) {
    const raw = await this.raw(output);
    const { type, scale, zeroPoint } = this.model.output;
    return type === FLOAT32 ? Float32Array.from(raw) : Float32Array.from(raw, (value) => (value - zeroPoint) * scale);
  }

  /** @param {any} output @returns {Promise<Float32Array|Uint8Array>} its values as they are; frees the tensor */
  async raw(output) {
    const values = await output.data();
    output.delete();
    return values;
  }

  /** @param {Uint8Array} pixels at the model's size @returns {Promise<Float32Array>} */
  async infer(pixels) {
    const tensor = this.tensor(this.feed(pixels));
    try {
      return await this.read(await this.run(tensor));
    } finally {
      tensor.delete();
    }
  }

  close() {
    this.compiled.delete();
  }
}

/**
 * Load and compile.
 * @param {Model} model
 * @param {Engine} engine
 * @returns {Promise<Session>}
 */
export async function openSession(model, engine) {
  for (const [what, { type }] of /** @type {const} */ ([["input", model.input], ["output", model.output]])) {
    if (type !== FLOAT32 && type !== UINT8) {
      throw new Fault(`The ${what} is neither float32, uint8 nor int8: convert with --io uint8 or --io float32.`);
    }
  }
  if (engine.accelerator === "webgpu" && !(await /** @type {any} */ (navigator).gpu.requestAdapter())) {
    throw new Fault("This browser knows WebGPU but has no GPU for it: wasm runs the model.");
  }
  const litert = await load(engine.accelerator).catch((error) => {
    throw new Fault(`LiteRT.js does not start here (${plain(error)}): reload the page, or update the browser.`);
  });
  const begun = performance.now();
  let compiled;
  try {
    compiled = await litert.loadAndCompile(model.content, {
      accelerator: engine.accelerator, cpuOptions: { numThreads: engine.threads }, gpuOptions: { precision: "fp32" } });
  } catch (error) {
    throw new Fault(`${engineName(engine)} cannot hold this model of ${(model.sizeBytes / 1e6).toFixed(1)} MB (${plain(error)}).`);
  }
  if (compiled.options.accelerator !== engine.accelerator) {
    compiled.delete();
    throw new Fault("WebGPU cannot run the whole of this model, and this browser cannot share it with wasm: wasm runs it.");
  }
  return new Session(model, engine, litert, compiled, performance.now() - begun);
}

/** @param {unknown} error */
function plain(error) {
  return (error instanceof Error ? error.message : sentence(error)).split("\n")[0].slice(0, 160);
}

/**
 * The probabilities, best first, of a classifier's output.
 * @param {Model} model
 * @param {Float32Array} output
 * @returns {{label: string, score: number}[]}
 */
export function classify(model, output) {
  const { kind, labels } = model.contract.output;
  let scores = output;
  if (kind === "logits") {
    const largest = output.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = output.map((value) => Math.exp(value - largest));
    const sum = powers.reduce((a, b) => a + b, 0);
    scores = powers.map((value) => value / sum);
  }
  /** @type {number[]} */
  const best = [];
  scores.forEach((score, index) => {
    const place = best.findIndex((other) => scores[other] < score);
    if (place >= 0) best.splice(place, 0, index);
    else if (best.length < 5) best.push(index);
    if (best.length > 5) best.pop();
  });
  return best.map((index) => ({ label: labels[index], score: scores[index] }));
}

/** @param {Model} model whether its largest output is the answer */
export function classifies(model) {
  const { kind, labels } = model.contract.output;
  return (kind === "probabilities" || kind === "logits") && labels.length > 0;
}
