"""TensorBoard over the demo's run, in a real browser: `make test-browser`, which leaves build/screenshots/*.png."""

import base64
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from callbacks.chart_layout import CURVES
from callbacks.pictures import READING, add_picture

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent
SHOTS = ROOT / "build" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# No sandbox for root, and nothing that the browser would fetch on its own account.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
DEPTHS = ("CL1", "CL2", "CL3", "CL4")
WAIT = 60_000  # ms: a page of a busy machine


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a fresh run of the demo."""
    folder = tmp_path_factory.mktemp("demo") / "runs"
    words = ["--config", "configs/quickstart.yaml", "--quiet", "--trainer.logger.init_args.save_dir", str(folder)]
    subprocess.run([sys.executable, "train.py", *words], cwd=ROOT, check=True, timeout=1200)
    return folder / "quickstart" / "version_0"


@contextmanager
def tensorboard(logdir: Path, *options: str) -> Iterator[str]:
    """Serve a folder on loopback, and give the address once all that is in it has been read."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", str(port), *options]
    with subprocess.Popen([sys.executable, "-m", "tensorboard.main", *words], stderr=subprocess.DEVNULL) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: list(ask(f"{address}/data/plugin/images/tags").values()))
            settled = None  # runs are read in the background
            while (found := ask(f"{address}/data/plugin/timeseries/tags")) != settled:
                settled = found
                time.sleep(3)
            yield address
        finally:
            server.terminate()


def ask(address: str):
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return {}


def until(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "TensorBoard does not answer"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    playwright = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs Playwright")
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: `make test-browser` says how")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(run) -> Iterator[str]:
    """TensorBoard as `make demo` says to start it."""
    with tensorboard(run.parent.parent) as found:
        yield found


@pytest.fixture
def page(browser):
    """A page that must neither complain nor ask for anything beyond loopback."""
    found = browser.new_page(viewport={"width": 1600, "height": 1000})
    found.set_default_timeout(WAIT)
    complaints, asked = [], set()
    found.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("request", lambda request: asked.add(request.url))
    yield found
    found.close()
    assert complaints == []
    assert {url.split("/")[2].split(":")[0] for url in asked if url.startswith("http")} == {"127.0.0.1"}


def headings(page) -> list[str]:
    """Names of the sections of a tab, in their order."""
    return [each.inner_text().split("\n")[0] for each in page.locator("tf-category-paginated-view .heading").all()]


def tag(card) -> str:
    """What a card of TensorBoard shows."""
    return card.evaluate("each => each.tag")


def picture(page, image) -> np.ndarray:
    """The pixels (H, W, 3) of an img element, as they were loaded."""
    image.scroll_into_view_if_needed()
    size = image.evaluate("async each => { await each.decode(); return [each.naturalWidth, each.naturalHeight]; }")
    file = image.evaluate(
        """async each => {
            const bytes = new Uint8Array(await (await fetch(each.src)).arrayBuffer());
            return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
        }"""
    )
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB"))
    assert list(pixels.shape[1::-1]) == size
    return pixels


def assert_drawn(pixels: np.ndarray) -> None:
    assert min(pixels.shape[:2]) > 50
    assert pixels.std() > 5, "one colour"


def test_scalars(page, address):
    page.goto(f"{address}/#scalars")
    page.locator("tf-scalar-card svg path.line").first.wait_for(state="attached")
    assert headings(page) == ["epoch", "fit", "test", "validate"]
    page.screenshot(path=SHOTS / "scalars.png")
    page.locator("tf-tag-filterer input").fill("fit/energy|validate/(collision_lift|quantisation_error)/")
    for depth in DEPTHS:
        for quantity in ("fit/energy", "validate/collision_lift", "validate/quantisation_error"):
            card = page.locator("tf-scalar-card", has_text=f"tag: {quantity}/{depth}").first
            card.locator("svg path.line").first.wait_for(state="attached")
    page.screenshot(path=SHOTS / "scalars_filtered.png")


def test_images(page, address):
    page.goto(f"{address}/#images")
    page.locator("tf-image-loader img").first.wait_for()
    page.wait_for_timeout(2000)
    page.screenshot(path=SHOTS / "images.png")
    assert headings(page) == ["1_maps", "2_depths", "3_attacks", "4_growth"]
    assert tag(page.locator("tf-image-loader").first) == "1_maps/maps"
    for group in ("3_attacks", "4_growth"):  # TensorBoard opens the first sections alone
        page.locator("tf-category-paginated-view .heading", has_text=group).click()
    shown = {}
    page.wait_for_timeout(3000)
    for card in page.locator("tf-image-loader").all():
        name = tag(card)
        shown[name] = picture(page, card.locator("img"))
        assert_drawn(shown[name])
        assert card.locator("paper-icon-button[icon=info]").count() == 1, f"{name} has no words on how to read it"
    page.screenshot(path=SHOTS / "images_growth.png")
    growth = {f"4_growth/{name}/{depth}" for name in ("bmus_by_class", "density", "regions") for depth in DEPTHS}
    expected = growth | {f"1_maps/nearest_images/{depth}" for depth in DEPTHS} | {"3_attacks/trajectories_pgd"}
    expected |= set(READING) - {tag for tag in READING if re.search("growth|nearest|trajectories|flow|separation", tag)}
    assert shown.keys() == expected
    page.locator("tf-tag-filterer input").fill("maps/maps|growth/(density|regions)/CL[14]")
    page.wait_for_timeout(3000)
    page.screenshot(path=SHOTS / "images_filtered.png")


def test_a_picture_explains_itself(page, address):
    page.goto(f"{address}/#images")
    card = page.locator("tf-image-loader").first
    card.locator("img").wait_for()
    card.locator("paper-icon-button[icon=info]").click()
    words = card.get_by_text("white where no image lands")
    words.wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=SHOTS / "images_explained.png")
    assert words.is_visible()


def test_the_first_page_begins_with_the_maps(page, address):
    page.goto(address)
    first = page.locator("image-card").first
    first.locator("img").wait_for()
    page.wait_for_timeout(3000)
    page.screenshot(path=SHOTS / "time_series.png")
    assert "".join(first.inner_text().split("\n")[:2]) == "1_maps/maps"
    assert_drawn(picture(page, first.locator("img")))


def test_custom_scalars(page, address):
    page.goto(f"{address}/#custom_scalars")
    cards = page.locator("tf-custom-scalar-multi-line-chart-card")
    cards.nth(len(CURVES) + len(DEPTHS)).locator("svg path.line").first.wait_for(state="attached")
    page.wait_for_timeout(1000)
    page.screenshot(path=SHOTS / "custom_scalars.png")
    assert [name.split(",")[0] for name in headings(page)] == ["maps", "attacks"]
    titles = [card.locator(".heading-label").first.inner_text().strip() for card in cards.all()]
    assert titles[: len(CURVES)] == list(CURVES)
    assert titles[len(CURVES)] == "robust accuracy"
    for title, card in zip(titles, cards.all(), strict=True):
        lines = card.locator(".line-plot:not(.ghost) path.line")
        drawn = [line for line in lines.all() if len(line.get_attribute("d") or "") > 10]
        assert len(drawn) == (2 if title == "robust accuracy" else 4), title
    cards.last.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "custom_scalars_attacks.png")


def test_the_projector(page, address):
    page.goto(f"{address}/#projector")
    frame = page.frame_locator("iframe").frame_locator("iframe")
    frame.get_by_text("Points: 120").wait_for()
    page.wait_for_timeout(5000)  # sprites fly to their places
    page.screenshot(path=SHOTS / "projector.png")
    frame.get_by_text("4 tensors found").wait_for()
    names = frame.locator("vz-projector-data-panel").evaluate("each => each.tensorNames.map(tensor => tensor.name)")
    assert names == [f"validate/prototypes/{depth}:00072" for depth in DEPTHS]
    scene = np.asarray(Image.open(io.BytesIO(frame.locator("#scatter").screenshot())).convert("RGB"))
    middle = scene[len(scene) // 4 : -len(scene) // 4].reshape(-1, 3)
    assert len(np.unique(middle // 32, axis=0)) > 30, "photographs at the units"


def test_the_table_of_settings(page, address, run):
    page.goto(f"{address}/#hparams")
    page.locator("vaadin-grid-cell-content", has_text="quickstart/version_0").wait_for()
    page.wait_for_timeout(2000)
    page.screenshot(path=SHOTS / "hparams.png")
    cells = [text for cell in page.locator("vaadin-grid-cell-content").all() if (text := cell.inner_text().strip())]
    names = cells[2 : cells.index("quickstart/version_0")]
    row = dict(zip(names, cells[cells.index("quickstart/version_0") + 1 :], strict=True))
    settings = {name: row[name] for name in ("backbone", "map", "seed", "weights", "fit")}
    assert settings == {
        "backbone": "efficientnet_lite0",
        "map": "10 x 12 torus",
        "seed": "0",
        "weights": "default",
        "fit": "gradient, sigma 5 to 0.7, alpha 0.9 to 2",
    }
    measures = json.loads((run / "measures.json").read_text())
    maps, attacks = measures["validate"], measures["test"]["attacks"]
    expected = {
        "collision lift, CL4": maps["collision_lift"]["CL4"],
        "QE, CL4": maps["quantisation_error"]["CL4"],
        "explained variance, CL4": maps["explained_variance"]["CL4"],
        **{
            f"robust accuracy, {name}": list(by.values())[-1]["robust_accuracy"]["rate"] for name, by in attacks.items()
        },
    }
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert len(row) == len(settings) + len(expected)


@pytest.mark.parametrize("loader", ["true", "false"])
def test_sampling_never_hides_the_last_step(page, tmp_path, loader):
    name = "4_growth/density/CL1"
    steps = [np.full((60, 60, 3), 6 * step, np.uint8) for step in range(40)]
    with SummaryWriter(str(tmp_path / "long")) as writer:
        for step, pixels in enumerate(steps):
            add_picture(writer, name, pixels, step)
    with tensorboard(tmp_path, f"--load_fast={loader}") as address:
        page.goto(f"{address}/#images")
        card = page.locator("tf-image-loader")
        card.locator("img").wait_for()
        assert card.locator("tf-card-heading").get_by_text("39", exact=True).count() == 1  # not of the time
        assert np.array_equal(picture(page, card.locator("img")), steps[39])
        served = ask(f"{address}/data/plugin/images/images?run=long&tag={name}&sample=0")
    assert len(served) == 10, "TensorBoard's own number of pictures"
    assert served[-1]["step"] == 39


def test_no_picture_of_the_demo_is_left_out(address):
    steps = [
        each["step"]
        for each in ask(
            f"{address}/data/plugin/images/images?run=quickstart%2Fversion_0&tag=4_growth%2Fdensity%2FCL1&sample=0"
        )
    ]
    assert steps == [23, 47, 71]
