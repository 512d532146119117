"""The page in a real browser: it sorts, opens a game, says nothing on the console, and runs nobody's words."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboards.render import write
from lmrl_envs.core import Turn

# Chromium reads its debugging commands from descriptor 3 and answers on 4.
LAUNCH = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
FLAGS = (
    "--headless --remote-debugging-pipe --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,900"
)
SECONDS = 60


class Browser:
    """Headless Chromium with one page, spoken to over its debugging pipe: no port and no library.

    Attributes:
        complaints: what the console and the security policy said since the page was opened.
    """

    def __init__(self, chrome: str, profile: Path):
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        launch = [sys.executable, "-c", LAUNCH, str(commands), str(answers), chrome]
        self._process = subprocess.Popen(
            [*launch, *FLAGS.split(), f"--user-data-dir={profile}"],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._received = b""
        self._number = 0
        self._loaded = False
        self.complaints: list[str] = []
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        self._session = None
        try:
            self._call("Browser.close")
            self._process.wait(SECONDS)
        finally:
            self._process.kill()
            os.close(self._to)
            os.close(self._from)

    def open(self, page: Path) -> None:
        self.complaints, self._loaded = [], False
        self._call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, element: str) -> None:
        """Presses the mouse on the middle of an element, given as a JavaScript expression."""
        x, y = self.evaluate(f"""(() => {{
            const element = {element};
            element.scrollIntoView({{block: "center"}});
            const box = element.getBoundingClientRect();
            const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
            if (!element.contains(document.elementFromPoint(x, y))) throw new Error("the element is covered");
            return [x, y];
        }})()""")
        for event in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=event, x=x, y=y, button="left", clickCount=1)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        """The next message; events are noted."""
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._received:
            ready = select.select([self._from], [], [], max(0, deadline - time.monotonic()))[0]
            part = os.read(self._from, 1 << 16) if ready else b""
            assert part, f"the browser ended or said nothing for {SECONDS} s"
            self._received += part
        line, _, self._received = self._received.partition(b"\0")
        message = json.loads(line)
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.complaints.append(json.dumps(message["params"]))
            case "Page.javascriptDialogOpening":
                self.complaints.append("a dialog: " + message["params"]["message"])
        return message


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    names = [os.environ.get("CHROME", "chromium"), "chromium-browser", "google-chrome"]
    chrome = next((path for name in names if (path := shutil.which(name))), None)
    if chrome is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(names)}); the variable CHROME names another")
    browser = Browser(chrome, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def names(browser: Browser) -> list[str]:
    return browser.evaluate("[...document.querySelectorAll('.board-table tbody th')].map((cell) => cell.dataset.value)")


def test_a_click_on_a_heading_sorts_and_another_turns_the_order_round(tmp_path, write_result, browser):
    write_result("middle", [-3.0, -2.0, -3.0], [-3.0] * 3)
    write_result("best", [-1.0, -2.0, -1.0], [-5.0] * 3)
    write_result("worst", [-6.0, -5.0, -6.0], [-4.0] * 3)
    write(tmp_path / "runs", tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    assert names(browser) == ["best", "middle", "worst"]
    heading = "[...document.querySelectorAll('thead button')].find((button) => button.textContent === '%s')"
    browser.click(heading % "sampled")
    assert names(browser) == ["middle", "worst", "best"]
    browser.click(heading % "sampled")
    assert names(browser) == ["best", "worst", "middle"]
    browser.click(heading % "agent")
    assert names(browser) == ["best", "middle", "worst"]
    assert browser.evaluate("document.querySelectorAll('thead [aria-sort=ascending]').length") == 1
    assert browser.complaints == []


def test_a_game_opens_as_a_coloured_board(tmp_path, write_result, browser):
    write_result("bc", [-1.0, -2.0])
    write(tmp_path / "runs", tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    folded = """(() => {
        const folds = [];
        for (let e = document.querySelector(".game"); e; e = e.parentElement)
            if (e.tagName === "DETAILS" && !e.open) folds.unshift(e);
        return folds[0]?.querySelector("summary");
    })()"""
    while browser.evaluate(f"Boolean({folded})"):
        browser.click(folded)
    tiles = browser.evaluate("""[...document.querySelectorAll(".game:first-of-type .guess")].map((guess) =>
        [...guess.children].map((tile) => [tile.textContent, getComputedStyle(tile).backgroundColor,
                                           tile.checkVisibility() && tile.getBoundingClientRect().width > 0]))""")
    assert ["".join(letter for letter, _, _ in guess) for guess in tiles] == ["geese", "elder"]
    assert all(visible for guess in tiles for _, _, visible in guess)
    geese, elder = ([colour for _, colour, _ in guess] for guess in tiles)  # byybb, ggggg
    absent, elsewhere, right = geese[0], geese[1], elder[0]
    assert len({absent, elsewhere, right}) == 3
    assert geese == [absent, elsewhere, elsewhere, absent, absent]
    assert elder == [right] * 5
    browser.click("document.querySelector('details:has(> dl) > summary')")
    assert browser.evaluate("document.querySelector('details dl').checkVisibility()")
    assert browser.complaints == []


def test_words_with_markup_are_shown_and_never_run(tmp_path, write_result, browser):
    hostile = [
        "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">",
        "</style></script></title><svg onload=document.title='run'><iframe srcdoc='<script>alert(1)</script>'>",
        '{{ 7 * 7 }} ${alert(2)} <a href="javascript:alert(3)">press</a> <meta http-equiv=refresh content=0>',
        '" onmouseover="document.title=\'run\'" autofocus onfocus="alert(4)',
    ]
    turns = [Turn("agent" if n % 2 else "env", text, 0.0) for n, text in enumerate(hostile)]
    name = hostile[3] + "<b onclick=alert(5)>"
    write_result(name, [-1.0, -2.0], turns=turns)
    write(tmp_path / "runs", tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    browser.click("document.querySelector('thead button')")
    assert names(browser) == [name]
    shown = browser.evaluate("document.body.textContent")
    for text in hostile:
        assert text in shown
    assert browser.evaluate("document.title") == "lmrl-envs leaderboard"
    assert browser.evaluate("document.scripts.length") == 1
    assert browser.evaluate("document.querySelectorAll('img, iframe, a[href^=javascript], [onclick]').length") == 0
    assert browser.complaints == []


def test_the_security_policy_refuses_a_script_that_is_not_the_pages_own(tmp_path, write_result, browser):
    write_result("bc", [-1.0, -2.0])
    page = tmp_path / "page.html"
    write(tmp_path / "runs", page)
    page.write_text(page.read_text().replace("</body>", "<script>document.title = 'run'</script></body>"))
    browser.open(page)
    assert browser.evaluate("document.title") == "lmrl-envs leaderboard"
    (complaint,) = browser.complaints
    assert "Content Security Policy" in complaint
