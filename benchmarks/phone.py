"""The page in headless Chromium: what each network gives there, and what the page costs beside the runtime.

python benchmarks/phone.py [--shared DIR] [--work DIR] [--only golden|camera|speed|codec]

`golden`: MobileNet V1, V2, V3 and a ResNet, float and int8, on wasm and on WebGPU (Chromium's software GPU: right or
wrong, its speed means nothing). `camera`: labels of a video's frames in the page against Python's. `speed`: until the
page has proved a file, and a frame's cost beyond the runtime's own run. `codec`: compressed pictures decoded in the
page, against Python's pixels. Needs chromium, chromedriver and npm.
"""

import argparse
import base64
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from browser import start_chromium
from results import save_table
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

import edgesdk
from edgesdk.atomic import make_folder
from edgesdk.measurement import Measurement, Refused
from edgesdk.preprocess import read_photo
from edgesdk_device.web.site import page_files

SHARED = Path(__file__).parents[2] / "shared" / "data"
#: network -> its architecture, width, resolution, and weights of the shared ones ("" for random). A random ResNet does
#: nothing between its first and last layer and would prove nothing of what lies there: it learns the digits, an epoch.
NETWORKS = {
    "MobileNet V1 0.5-160": ("mobilenet_v1", 0.5, 160, ""),
    "MobileNet V1 0.75-192": ("mobilenet_v1", 0.75, 192, "mobilenet_v1_0.75_192_dequant.h5"),
    "MobileNet V2 1.0-224": ("mobilenet_v2", 1.0, 224, "mobilenet_v2_1.0_224_dequant.h5"),
    "MobileNet V3 small 1.0-224": ("mobilenet_v3_small", 1.0, 224, ""),
    "ResNet-18 0.5-128": ("resnet18", 0.5, 128, "digits"),
}
PRECISIONS = ("float32", "int8")
VIDEO = "videos/car-detection.mp4"
FRAMES, AT_ONCE = 50, 5
WAIT_S = 600
#: a proof is over, and the words of its lines that are the same in all
END = re.compile("proved on this phone|nothing here")
PROOF = re.compile(r"^(WebGPU|wasm, \d+ threads?) ")

SEE = """
const [count, done] = arguments;
(async () => {
  const { page, see } = await import("./main.js"), found = [];
  for (let last = 0; found.length < count;) {
    await page.camera.next();
    if (page.camera.capturedAt === last) continue;
    last = page.camera.capturedAt;
    const grabbed = page.camera.grab(), { best } = await see(page.session, grabbed);
    const { data, height, width } = grabbed.frame;
    let letters = "";
    for (let at = 0; at < data.length; at += 4096) letters += String.fromCharCode(...data.subarray(at, at + 4096));
    found.push({ label: best[0].label, score: best[0].score, height, width, pixels: btoa(letters) });
  }
  return found;
})().then(done, (error) => done(String(error)));
"""

DECODE = """
const [streams, accelerator, repeats, done] = arguments;
(async () => {
  const { page } = await import("./main.js"), { openSession } = await import("./runtime.js");
  const { openCodec } = await import("./codec.js"), found = [];
  const session = await openSession(page.model, { accelerator, threads: 1 }), codec = await openCodec(page.model);
  for (const stream of streams) {
    const bytes = Uint8Array.from(atob(stream), (letter) => letter.charCodeAt(0)), all = [], networks = [];
    let last;
    for (let run = 0; run < repeats; run++) {
      const begun = performance.now();
      for await (last of codec.pictures(session, bytes));
      all.push(performance.now() - begun);
      networks.push(last.invokeMs);
    }
    const { data } = last;
    let letters = "";
    for (let at = 0; at < data.length; at += 4096) letters += String.fromCharCode(...data.subarray(at, at + 4096));
    found.push({ all, networks, pixels: btoa(letters) });
  }
  session.close();
  return found;
})().then(done, (error) => done(String(error)));
"""
PICTURES = ("kodim01.png", "kodim13.png", "kodim23.png")
QUALITY = 40


@contextmanager
def chromium(camera: Path | None = None) -> Iterator[webdriver.Chrome]:
    """A phone-sized browser whose camera plays a file."""
    played = [] if camera is None else [f"--use-file-for-fake-video-capture={camera}"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start_chromium(Path(profile), *played, wait_s=WAIT_S)
        try:
            yield browser
        finally:
            browser.quit()


def files(work: Path, shared: Path) -> dict[tuple[str, str], Path]:
    """(network, precision) -> its file, made where it is not there yet."""
    made = {}
    for name, (arch, width, res, weights) in NETWORKS.items():
        model = f"{arch}_{width:g}_{res}"
        run = work / f"{model}.run"
        for precision in PRECISIONS:
            made[name, precision] = path = work / f"{model}_{precision}.tflite"
            if path.is_file():
                continue
            if weights == "digits":
                if not run.is_dir():
                    edgesdk.train(weights, arch=arch, width=width, res=res, epochs=1, out=run)
                edgesdk.convert(run, data=weights, quantize=precision, out=path)
                continue
            given = str(shared / "models" / "keras" / weights) if weights else "none"
            edgesdk.convert(arch=arch, width=width, res=res, weights=given, quantize=precision, out=path)
    return made


def bench(paths: Sequence[Path], **options: Any) -> list[Measurement | Refused]:
    """What a phone's page measures, with Chromium as the phone."""
    rows: list[Measurement | Refused] = []

    def opened(address: str) -> None:
        threading.Thread(target=browser.get, args=(address,)).start()

    with chromium() as browser:
        rows += edgesdk.bench_phone(paths, serve="127.0.0.1:0", tell=opened, **options)
    return rows


def golden(work: Path, shared: Path) -> None:
    """A table: what the page says of each file on each engine."""
    made = files(work, shared)
    rows, facts = [], {}
    with chromium() as browser, edgesdk.phone(list(made.values()), serve="127.0.0.1:0") as server:
        browser.get(server.address)
        for index, (name, precision) in enumerate(made):
            if index:
                Select(browser.find_element(By.ID, "model")).select_by_index(index)
                WebDriverWait(browser, WAIT_S).until(lambda _: "proved on" not in status(browser))
            WebDriverWait(browser, WAIT_S).until(lambda _: END.search(status(browser)))
            said = [line.text for line in browser.find_elements(By.CSS_SELECTOR, "#proof li")]
            engines = [line for line in said if line.startswith(("wasm", "WebGPU"))]
            facts[f"{name} {precision}"] = {"said": said}
            wasm = {PROOF.sub("", line) for line in engines if line.startswith("wasm")}
            gpu = [PROOF.sub("", line) for line in engines if line.startswith("WebGPU")]
            rows.append((name, precision, "; ".join(sorted(wasm)), "; ".join(gpu)))
            print(rows[-1], flush=True)
    note = (
        "The page's own words in headless Chromium: the largest difference from a golden output, and what the contract "
        "allows; wasm with 1 thread and with all. WebGPU is Chromium's software GPU. V1 0.5-160 and V3 have random "
        "weights, ResNet-18 has seen the digits once."
    )
    save_table("phone_golden", ("network", "precision", "wasm", "WebGPU"), rows, note, facts)


def camera(work: Path, shared: Path) -> None:
    """Labels of the very frames that the page saw, there and in Python."""
    path = files(work, shared)["MobileNet V1 0.75-192", "int8"]
    video = work / "camera.mjpeg"
    convert = ("ffmpeg", "-loglevel", "error", "-y", "-i", str(shared / VIDEO), "-t", "20", "-vf", "scale=640:-2")
    subprocess.run([*convert, "-c:v", "mjpeg", "-q:v", "2", "-f", "mjpeg", str(video)], check=True)
    with chromium(video) as browser, edgesdk.phone([path], serve="127.0.0.1:0") as server:
        browser.get(server.address)
        wait(browser, "proved on this phone")
        browser.find_element(By.ID, "camera").click()
        WebDriverWait(browser, WAIT_S).until(lambda _: browser.find_element(By.ID, "fps").text not in ("–", "0.0"))
        seen = [item for _ in range(0, FRAMES, AT_ONCE) for item in browser.execute_async_script(SEE, AT_ONCE)]
    same, apart = 0, 0.0
    with edgesdk.Classifier(path) as classify:
        for item in seen:
            pixels = np.frombuffer(base64.b64decode(item["pixels"]), np.uint8).reshape(item["height"], item["width"], 4)
            answer = classify(cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR))
            same += answer.label == item["label"]
            apart = max(apart, abs(answer.score - item["score"]))
    distinct = len({item["pixels"] for item in seen})
    found = {"frames": len(seen), "distinct": distinct, "same": same, "largest_difference": apart}
    row = (str(len(seen)), str(distinct), f"{100 * same / len(seen):.1f} %", f"{apart:.2g}")
    head = ("frames", "distinct", "same label as Python", "largest difference of its score")
    note = f"MobileNet V1 0.75-192 int8, 1000 classes, on {VIDEO} as Chromium's camera; 98 % are wanted."
    save_table("phone_camera", head, [row], note, {"camera": found})


def speed(work: Path, shared: Path) -> None:
    """The page's own costs."""
    path = files(work, shared)["MobileNet V1 0.5-160", "int8"]
    ready = []
    for _ in range(3):
        with chromium() as browser, edgesdk.phone([path], serve="127.0.0.1:0") as server:
            browser.get(server.address)
            wait(browser, "proved on")
            (mark,) = browser.execute_script("return performance.getEntriesByName('verified').map((m) => m.startTime)")
            ready.append(mark / 1e3)
    (row,) = bench([path], backends=["litertjs-wasm"], threads=[1])
    assert isinstance(row, Measurement), row
    assert row.age is not None
    over = (row.age.prepare + row.age.post) / row.age.invoke  # of the same frames: what else runs disturbs both
    size = sum(map(len, page_files().values()))
    rows = [
        ("page ready and proved on wasm, s", f"{sorted(ready)[1]:.2f}", "3"),
        ("page without the runtime, kB", f"{size / 1000:.1f}", "100"),
        ("a 640x480 frame beyond the runtime's run", f"{100 * over:.1f} %", "25 %"),
        ("the runtime's run, ms", f"{row.age.invoke:.3f}", ""),
        ("preparing the frame, ms", f"{row.age.prepare:.3f}", ""),
        ("reading the answer, ms", f"{row.age.post:.3f}", ""),
    ]
    note = (
        "MobileNet V1 0.5-160 int8, wasm, 1 thread, headless Chromium; medians, runs and frames in turns. Processes "
        f"that wanted one of this machine's {os.cpu_count()} cores meanwhile: {os.getloadavg()[0]:.0f}."
    )
    facts = {"speed": {"ready_s": ready, "page_bytes": size, "overhead": over, "warnings": list(row.warnings)}}
    save_table("phone_speed", ("what", "found", "at most"), rows, note, facts)


def codec(_: Path, shared: Path) -> None:
    """What the page makes of the photo codec's streams: Python's pixels, and how long it takes."""
    video = cv2.VideoCapture(str(shared / "videos" / "car_320x180_mjpeg.avi"))
    frames = {"a camera's frame": np.asarray(video.read()[1], np.uint8)}
    frames |= {name.partition(".")[0]: read_photo(shared / "datasets" / "kodak" / name) for name in PICTURES}
    with edgesdk.Codec("photo") as opened:
        streams = [opened.compress(frame, QUALITY) for frame in frames.values()]
        expected = [opened.decompress(stream) for stream in streams]
    asked = [base64.b64encode(stream).decode() for stream in streams]
    rows, facts = [], {}
    with chromium() as browser, edgesdk.phone(["photo"], serve="127.0.0.1:0") as server:
        browser.get(server.address)
        wait(browser, "proved on this phone")
        wasm = browser.execute_async_script(DECODE, asked, "wasm", 7)
        gpu = browser.execute_async_script(DECODE, asked, "webgpu", 1)
    for name, stream, pixels, one, other in zip(frames, streams, expected, wasm, gpu, strict=True):
        apart = [_apart(item["pixels"], pixels) for item in (one, other)]
        whole, network = float(np.median(one["all"])), float(np.median(one["networks"]))
        height, width = pixels.shape[:2]
        facts[name] = {"bytes": len(stream), "decode_ms": one["all"], "network_ms": one["networks"], "apart": apart}
        size, times = f"{width}x{height}, {len(stream)} bytes", (f"{whole:.0f}", f"{network:.0f}")
        rows.append((name, size, *times, *(f"{levels} grey levels" for levels in apart)))
    head = ("picture", "stream", "wasm, ms", "the network's share", "from Python: wasm", "from Python: WebGPU")
    note = (
        f"The photo codec at quality {QUALITY}, wasm with 1 thread, medians of 7 in headless Chromium; the largest "
        "difference of any pixel's colour, 8 are allowed. WebGPU is Chromium's software GPU, whose speed says nothing. "
        f"Processes that wanted one of this machine's {os.cpu_count()} cores meanwhile: {os.getloadavg()[0]:.0f}."
    )
    save_table("phone_codec", head, rows, note, facts)


def _apart(pixels: str, frame: np.ndarray[Any, Any]) -> int:
    given = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(*frame.shape[:2], 4)
    return int(np.abs(cv2.cvtColor(given, cv2.COLOR_RGBA2BGR).astype(int) - frame).max())


def wait(browser: webdriver.Chrome, text: str) -> None:
    """Until the page's status says so."""
    WebDriverWait(browser, WAIT_S, poll_frequency=0.2).until(lambda _: text in status(browser))


def status(browser: webdriver.Chrome) -> str:
    """What the page says of itself."""
    return browser.find_element(By.ID, "status").text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgesdk_phone")
    parser.add_argument("--only", choices=("golden", "camera", "speed", "codec"))
    options = parser.parse_args()
    work = make_folder(options.work)
    for part in (golden, camera, speed, codec):
        if options.only in (None, part.__name__):
            part(work, options.shared)


if __name__ == "__main__":
    main()
