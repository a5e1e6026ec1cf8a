"""The page in a real Chromium, where there is one: its keys, its panel, and no request but for itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentctl.graph.picture.html import as_html
from agentctl.json import Json
from tests.graph.test_picture import hostile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


class Browser:
    """Chromium on two pipes, JSON messages with a NUL after each."""

    def __init__(self, profile: Path) -> None:
        theirs, ours = os.pipe()
        here, there = os.pipe()
        shell = f'exec "$0" "$@" 3<&{theirs} 4>&{there}'
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        self.process = subprocess.Popen(
            ["bash", "-c", shell, str(CHROMIUM), *flags, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(theirs, there),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(there)
        self.out, self.into = ours, open(here, "rb")  # noqa: SIM115 - closed with the browser
        self.number, self.left, self.events = 0, b"", list[Json]()
        self.session: dict[str, str] = {}
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = {
            "sessionId": self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        }
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Json) -> Json:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, **self.session}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        return answer["result"]

    def open(self, page: Path) -> None:
        self.ask("Page.navigate", url=page.as_uri())
        while not self.told("Page.loadEventFired"):
            self.events.append(self._next())

    def told(self, *methods: str) -> list[Json]:
        return [event["params"] for event in self.events if event.get("method") in methods]

    def value(self, script: str) -> Json:
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def _next(self) -> Json:
        while b"\0" not in self.left:
            more = os.read(self.into.fileno(), 65536)
            assert more, "the browser has gone"
            self.left += more
        one, self.left = self.left.split(b"\0", 1)
        return json.loads(one)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    begun = Browser(tmp_path / "profile")
    yield begun
    begun.process.kill()
    begun.process.wait()
    os.close(begun.out)
    begun.into.close()


def test_the_page_works_by_keyboard_and_asks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(as_html(hostile()), encoding="utf-8")
    browser.open(page)
    browser.value("document.querySelector('g.place').focus()")
    browser.press("ArrowDown", 40)
    assert browser.value("document.activeElement.dataset.place") == "nodes.a"
    browser.press("Enter", 13)
    assert "<script>alert(1)</script>" in browser.value("document.getElementById('details').innerText")
    browser.press("Escape", 27)
    assert browser.value("document.getElementById('panel').hidden") is True
    assert browser.value("document.documentElement.scrollWidth <= innerWidth") is True
    assert [event["request"]["url"] for event in browser.told("Network.requestWillBeSent")] == [page.as_uri()]
    assert browser.told("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening") == []
