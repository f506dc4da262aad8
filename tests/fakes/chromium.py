"""Headless Chromium, the distribution's, for tests that look at a page as its readers see it."""

from __future__ import annotations

import base64
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

REQUIRE = "APPLIANCE_REQUIRE_CHROMIUM"
"""Set in CI: tests then fail where Chromium is missing, and are not skipped."""
MISSING = "Chromium is not installed (Debian: apt-get install chromium)"

_ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-gpu")
_PIXELS = """async (png) => {
  const image = new Image(); image.src = 'data:image/png;base64,' + png; await image.decode();
  const canvas = document.createElement('canvas'); canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
  const found = {}, data = context.getImageData(0, 0, image.width, image.height).data;
  for (let i = 0; i < data.length; i += 4) {
    const colour = '#' + [data[i], data[i + 1], data[i + 2]].map(v => v.toString(16).padStart(2, '0')).join('');
    found[colour] = (found[colour] || 0) + 1;
  }
  return found;
}"""


def program() -> str | None:
    """Where it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def running(executable: str) -> Iterator[Browser]:
    """A browser that makes no calls of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=list(_ARGUMENTS), env=dict(environment), headless=True
        )
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A file in a page, with all that it asked for and complained about meanwhile."""

    def __init__(self, browser: Browser, file: Path, *, width: int = 1_100) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page: Page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.resolve().as_uri(), wait_until="networkidle")

    def colours(self, what: Locator | None = None) -> Counter[str]:
        """How many pixels of each colour (`#rrggbb`) the picture has, of all of the page or of a part of it."""
        picture = what.screenshot() if what is not None else self.page.screenshot(full_page=True)
        blank = self.page.context.new_page()
        found = blank.evaluate(_PIXELS, base64.b64encode(picture).decode())
        blank.close()
        return Counter(found)

    def close(self) -> None:
        """Leave the page."""
        self.page.context.close()
