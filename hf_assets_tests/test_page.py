"""The pages as a person sees them, in one session of a real browser: materialize, look at images, edit the config, see
the mark; look through the report's gallery. What they look like is left in `build/screenshots`.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.test_command_line import ROOT, Project

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,2500",
)
# For a machine that does much else; nothing waits so long on one that doesn't.
PATIENCE_S = 180.0

SCREENSHOTS = ROOT / "build" / "screenshots"
WIDTHS_PX = (1500, 420)
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

T = TypeVar("T")


def until(look: Callable[[], T], what: str) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = look()
        except WebDriverException:  # the page is just being drawn anew
            found = None
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"the page never showed {what}")
        time.sleep(0.2)


class Page:
    """A browser at a Dagster page."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        self.address = address

    def open(self, path: str) -> "Page":
        self.browser.get(self.address + path)
        return self

    def wait_for(self, text: str) -> Any:
        """The innermost element that says this."""
        return until(lambda: self._shown(_saying("*", text)), f'"{text}" at {self.browser.current_url}')

    def click(self, text: str, tag: str = "button", within: str = "") -> None:
        """Click the innermost element that says this.

        Args:
            within: XPath of what holds it.
        """

        def clicked() -> bool:
            for skip in self.browser.find_elements(By.XPATH, "//button[normalize-space(.)='Skip']"):
                skip.click()  # the invitation of a first visit lies over the page
            found = self._shown(within + _saying(tag, text))
            if found is not None:
                found.click()
            return found is not None

        until(clicked, f'"{text}" where it can be clicked')

    def widths(self, kind: str) -> list[int]:
        """The natural widths of the images of one kind that the page holds in itself; 0 for a broken one."""
        script = "return [...document.images].filter(i => i.src.startsWith(arguments[0])).map(i => i.naturalWidth)"
        found: list[int] = self.browser.execute_script(script, f"data:image/{kind}")  # type: ignore[no-untyped-call]
        return found

    def has_sheet(self, path: str) -> bool:
        """Whether a page shows whole JPEGs soon after it is opened: what the browser kept of it may be older."""
        self.open(path)
        for _ in range(50):
            widths = self.widths("jpeg")
            if widths and all(widths):
                return True
            time.sleep(0.2)
        return False

    def resize(self, width_px: int, height_px: int, *, dark: bool = False) -> None:
        """Show the page as in a window of this size, whatever the smallest window is."""
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        assert self.browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))

    def cards(self) -> list[Any]:
        """The samples that the gallery shows."""
        return self.browser.find_elements(By.CSS_SELECTOR, "#cards button")

    def choose(self, id_: str, text: str) -> None:
        """Choose what begins so from a list, by its keyboard's way: the page hears of it as of a person's choice."""
        script = """
            const list = document.getElementById(arguments[0]);
            list.value = [...list.options].find((one) => one.text.startsWith(arguments[1])).value;
            list.dispatchEvent(new Event("change", {bubbles: true}));
        """
        self.browser.execute_script(script, id_, text)  # type: ignore[no-untyped-call]

    def says(self, text: str) -> bool:
        return text in self.browser.find_element(By.TAG_NAME, "body").text

    def _shown(self, path: str) -> Any:
        return next((found for found in self.browser.find_elements(By.XPATH, path) if found.is_displayed()), None)


@pytest.fixture(scope="module")
def project(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Project:
    names = [f"picture {n}" if n != 4 else f"picture 4 {HOSTILE}" for n in range(6)]
    rows = [Row(image_bytes(n, 64 + 18 * (n % 3), 64), name, {"width": 64}) for n, name in enumerate(names)]
    hub.commit("page/photos", files_of(rows))
    filters = {"filter_func": {"where": "caption <> 'picture 1'"}}
    return Project(tmp_path_factory.mktemp("page"), "page/photos", aspect_bucket_alignment=8, **filters)


@pytest.fixture(scope="module")
def address(project: Project) -> Iterator[str]:
    """A running `dagster dev`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
    log = project.folder / "dev.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, *command],
            cwd=project.folder,
            env={**environment, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: server.poll() is not None or _listens(port), "itself")
        assert server.poll() is None, log.read_text()[-3000:]
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(server)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    # the driver's path is given, so that none is downloaded; its group is ended with all that it started
    service = Service(str(DRIVER), popen_kw={"start_new_session": True})
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.set_page_load_timeout(PATIENCE_S)
        yield browser
    finally:
        browser.quit()
        _end(service.process)


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, address: str) -> Page:
    return Page(browser, address)


def test_a_person_materializes_looks_and_sees_what_an_edit_makes_stale(page: Page, project: Project) -> None:
    group = "/locations/hf_assets/asset-groups/my_photos/lineage"
    page.open(group).wait_for("training_set")
    page.click("Materialize all")
    page.wait_for("Launched")
    page.open("/runs").wait_for("Success")

    page.open("/assets/my-photos/buckets").wait_for("samples_per_bucket")
    page.wait_for("filtered_sheet")  # `filtered` itself reads no media
    until(lambda: page.widths("svg") and all(page.widths("svg")), "the chart in the table")
    assert not page.says("Unsynced")
    assert page.widths("jpeg") == []  # behind a link
    page.click("Show Markdown", "*", within="//tr[contains(., 'contact_sheet')]")
    until(lambda: page.widths("jpeg") and all(page.widths("jpeg")), "the contact sheet")

    page.open("/assets/my-photos/filtered").wait_for("kept_and_dropped")
    page.wait_for("on the page of buckets")
    page.open("/assets/my-photos/training_set").wait_for("duplicates_share")
    page.click("Plots")
    until(lambda: page.browser.find_elements(By.TAG_NAME, "canvas"), "the plots")
    page.open("/assets/my-photos/training_set?view=checks").wait_for("error_budget")
    page.wait_for("All 5 samples have their latent and their embeds")

    project.config["datasets"][0]["aspect_bucket_alignment"] = 32
    project.write()
    page.open(group).click("Reload definitions")
    until(lambda: page.open("/assets/my-photos/buckets").wait_for("Unsynced"), "the mark")
    page.open("/assets/my-photos/captions").wait_for("without_caption_share")
    assert not page.says("Unsynced")

    page.open("/assets/my-photos/training_set").wait_for("stage: training_set")
    page.wait_for("materialize_my_photos")
    until(lambda: page.has_sheet("/assets/my-photos/training_set"), "the contact sheet in the overview")
    for width in WIDTHS_PX:
        page.resize(width, 1400)
        page.screenshot(f"dagster_training_set_{width}")
    page.resize(1500, 2500)
    page.open(group).wait_for("vae_latents")
    page.screenshot("dagster_graph_1500")


def test_a_person_looks_through_the_report(page: Page, project: Project) -> None:
    (report,) = project.folder.rglob("report.html")
    browser = page.browser
    for width in WIDTHS_PX:
        page.resize(width, 1400)
        browser.get(report.as_uri())
        until(lambda: len(page.cards()) == 6, "every row of the dataset")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width  # type: ignore[no-untyped-call]
        for title in ("Samples", "What is left at each step", "Captions", "Buckets", "Latents"):
            assert page.says(title), title
        assert page.says("This is the first training set: 5 samples.")
        page.screenshot(f"report_{width}")
        browser.execute_script("document.getElementById('s4').scrollIntoView()")  # type: ignore[no-untyped-call]
        page.screenshot(f"report_latents_{width}")
    page.resize(1500, 1400, dark=True)
    page.screenshot("report_dark_1500")
    background = "return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(background) == "rgb(22, 22, 24)"  # type: ignore[no-untyped-call]
    page.resize(1500, 1400)

    # what became of each, and a picture of each that was decoded, loaded from beside the page
    texts = [card.text for card in page.cards()]
    assert sum("kept" in text for text in texts) == 5
    assert "dropped" in texts[1]
    pictured = browser.find_elements(By.CSS_SELECTOR, "#cards [role=img]")
    assert len(pictured) >= 5
    address = pictured[0].value_of_css_property("background-image").removeprefix('url("').removesuffix('")')
    loads = "const i = new Image(); i.onload = () => arguments[1](i.naturalWidth); i.src = arguments[0]"
    assert browser.execute_async_script(loads, address) > 60  # type: ignore[no-untyped-call]
    assert browser.find_elements(By.CSS_SELECTOR, "#cards .crop")

    browser.find_element(By.ID, "search").send_keys("picture 3")
    until(lambda: len(page.cards()) == 1, "the one that is searched for")
    assert "picture 3" in page.cards()[0].text
    assert browser.find_element(By.ID, "found").text == "1 sample"
    assert not browser.find_element(By.ID, "next").is_displayed()  # there is one page
    browser.find_element(By.ID, "search").clear()
    browser.find_element(By.ID, "search").send_keys(" ")
    until(lambda: len(page.cards()) == 6, "all again")
    page.choose("state", "dropped")
    until(lambda: len(page.cards()) == 1, "the one that is dropped")
    page.choose("state", "any")

    # by the keyboard alone; a stranger's caption is text
    until(lambda: len(page.cards()) == 6, "all again")
    page.cards()[4].send_keys(Keys.ENTER)
    sample = browser.find_element(By.ID, "sample")
    until(sample.is_displayed, "the sample")
    assert HOSTILE in sample.text
    page.screenshot("report_sample_1500")
    sample.send_keys(Keys.ARROW_RIGHT)
    until(lambda: "picture 5" in sample.text, "the next one")
    back = sample.find_element(By.CSS_SELECTOR, ".pager button")
    back.send_keys(Keys.ENTER)
    until(lambda: HOSTILE in sample.text, "the one before")
    assert browser.switch_to.active_element.text == "← Previous"  # where the keyboard was, though the button is new
    sample.send_keys(Keys.ESCAPE)
    until(lambda: not sample.is_displayed(), "the page again")
    assert browser.title.startswith("my-photos")
    assert [one for one in browser.get_log("browser") if one["level"] == "SEVERE"] == []  # type: ignore[no-untyped-call]


# Pages of the docs, and what a reader must see at the top of each.
READ = {
    "index": ("Try it", "Your own dataset"),
    "getting_started": ("Photographs with captions", "make toy"),
    "gallery": ("The gallery", "quarantined"),
    "commands": ("hf-assets init", "--caption-column"),
    "config": ("The config file", "instance_data_dir"),
    "dagster": ("Choosing assets", "Partitions and backfills"),
    "api": ("Python", "TrainingSet"),
}


def test_a_person_reads_the_docs(browser: webdriver.Chrome, site: Path) -> None:
    page = Page(browser, site.as_uri())
    for name, texts in READ.items():
        page.open(f"/{name}.html")
        for width in WIDTHS_PX:
            page.resize(width, 1400)
            for text in texts:
                assert page.says(text), (name, text)
            # tables and code scroll within the page, which doesn't
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, name  # type: ignore[no-untyped-call]
            broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
            assert browser.execute_script(broken) == [], name  # type: ignore[no-untyped-call]
            page.screenshot(f"docs_{name}_{width}")
    page.resize(1500, 1400, dark=True)
    page.screenshot("docs_api_dark_1500")
    page.resize(1500, 2500)


def _saying(tag: str, text: str) -> str:
    """XPath of the innermost elements that say this."""
    says = f"contains(normalize-space(.), '{text}')"
    return f"//{tag}[{says}][not(.//{tag}[{says}])]"


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process and all of its group."""
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
