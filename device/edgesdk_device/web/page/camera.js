// @ts-check
/** The phone's camera: its newest frame as pixels, with its age. */
import { Fault } from "./fault.js";

/** @typedef {import("./preprocess.js").Frame} Frame */
/** @typedef {{frame: Frame, capturedAt: number, grabMs: number}} Grabbed capturedAt on the clock of performance.now() */

const SIZE = { width: { ideal: 640 }, height: { ideal: 480 } };

export class Camera {
  /**
   * @param {HTMLVideoElement} video
   * @param {(sentence: string) => void} gone told when the camera stops by itself
   */
  constructor(video, gone) {
    this.video = video;
    this.gone = gone;
    this.facing = "environment";
    this.capturedAt = 0;
    this.turn = 0; // of opening and closing: a stream that an older one asked for comes too late
    this.canvas = document.createElement("canvas");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d", { willReadFrequently: true }));
    /** @type {MediaStream|null} */
    this.stream = null;
  }

  /** Ask for the camera; a Fault says why there is none. @returns {Promise<boolean>} whether nobody closed it meanwhile */
  async open() {
    this.close();
    const mine = this.turn;
    let stream;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Fault("This browser gives no camera to this page: open it over https, or in a newer browser.");
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...SIZE, facingMode: this.facing } });
    } catch (error) {
      if (mine !== this.turn) return false;
      throw new Fault(refusal(error));
    }
    if (mine !== this.turn) {
      stop(stream);
      return false;
    }
    this.stream = stream;
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", () => this.gone("The camera is gone: another app took it, or it was unplugged. Start it again."));
    this.video.srcObject = stream;
    await this.video.play().catch((error) => { if (mine === this.turn) throw error; });
    if (mine !== this.turn) return false;
    this.watch(stream);
    return true;
  }

  /** The other camera, where there is one. */
  async flip() {
    this.facing = this.facing === "environment" ? "user" : "environment";
    await this.open();
  }

  close() {
    this.turn++;
    if (this.stream) stop(this.stream);
    this.stream = null;
    this.video.srcObject = null;
    this.capturedAt = 0;
  }

  /** @param {MediaStream} stream keep when each frame was captured, as far as the browser says */
  watch(stream) {
    if (!this.video.requestVideoFrameCallback) return;
    /** @type {VideoFrameRequestCallback} */
    const note = (now, facts) => {
      this.capturedAt = facts.captureTime ?? facts.presentationTime ?? now;
      if (this.stream === stream) this.video.requestVideoFrameCallback(note);
    };
    this.video.requestVideoFrameCallback(note);
  }

  /** @returns {Grabbed|null} the newest frame; null before the first one */
  grab() {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (this.stream === null || !width || this.video.readyState < 2) return null;
    const begun = performance.now();
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    this.context.drawImage(this.video, 0, 0);
    const frame = this.context.getImageData(0, 0, width, height);
    return { frame, capturedAt: this.capturedAt || begun, grabMs: performance.now() - begun };
  }

  /** Resolves when a newer frame is there. */
  next() {
    return new Promise((resolve) => {
      if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(() => resolve(undefined));
      else requestAnimationFrame(() => resolve(undefined));
      setTimeout(resolve, 1000); // a video that stands still calls nobody
    });
  }

  /** @returns {Promise<Blob>} the frame that was grabbed last, lossless */
  picture() {
    return new Promise((resolve, reject) =>
      this.canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Fault("No frame came yet."))), "image/png"));
  }
}

/** @param {MediaStream} stream */
function stop(stream) {
  stream.getTracks().forEach((track) => track.stop());
}

/** @param {unknown} error */
function refusal(error) {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") return "The camera is not allowed for this page: allow it in the browser's settings, then start it again.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "This device has no such camera.";
  if (name === "NotReadableError" || name === "AbortError") return "Another app uses the camera: close it, then start the camera again.";
  return `The camera does not start (${name || error}): try again.`;
}
