"""A real Chromium, driven through its DevTools protocol over a pipe: no driver, no library."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
VIRTUAL_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
                "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--remote-debugging-pipe", "--hide-scrollbars",
)  # fmt: skip


def missing():
    """Why there is no browser here; None where there is one."""
    return None if any(map(shutil.which, NAMES)) else "no Chromium on this machine"


class Browser:
    """One browser with one page; `problems` are what the console and the page
    complained of, `requests` the addresses that were asked for.
    """

    def __init__(self):
        self._folder = tempfile.mkdtemp(prefix="lrs-browser-")
        self._count = itertools.count(1)
        self._left = b""
        self.problems = []
        self.requests = []

    def __enter__(self):
        there_in, self._out = os.pipe()
        self._in, there_out = os.pipe()
        program = next(filter(None, map(shutil.which, NAMES)))
        command = [program, *FLAGS, f"--user-data-dir={self._folder}", "about:blank"]
        # Chromium reads commands at 3 and writes answers at 4
        shell = f'exec "$@" 3<&{there_in} 4>&{there_out}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", shell, "bash", *command], pass_fds=(there_in, there_out),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(there_in)
        os.close(there_out)
        self._session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        self._session = self.call(
            "Target.attachToTarget", targetId=target, flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_error):
        try:
            self._send("Browser.close")
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method, /, **params):
        """The result of a command of the protocol; events that come meanwhile are heard."""
        number = self._send(method, **params)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for told in self._hear(until - time.monotonic()):
                if told.get("id") == number:
                    if "error" in told:
                        raise RuntimeError(f"{method}: {told['error']}")
                    return told["result"]
        raise TimeoutError(method)

    def open(self, url):
        """Load a page; returns when it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait("location.href !== 'about:blank'")

    def js(self, expression):
        """The value of an expression in the page; promises are awaited."""
        told = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"])
        return told["result"].get("value")

    def wait(self, condition, seconds=30):
        """Wait until an expression is true in a page that is loaded, its scripts included."""
        ready = f"document.readyState === 'complete' && Boolean({condition})"
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if self.js(ready):
                    return
            except RuntimeError:  # the page is just being replaced
                pass
            time.sleep(0.1)
        raise TimeoutError(
            f"{condition}; the page says: {self.js('document.body.innerText')[:2000]}"
        )

    def size(self, width, height=900):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def media(self, medium="", scheme="light"):
        """`print` or a screen, `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def press(self, *keys):
        """Press keys one after another: `Tab`, `ArrowRight`, ..."""
        for key in keys:
            for kind in ("keyDown", "keyUp"):
                code = VIRTUAL_KEYS.get(key, 0)  # without it Tab moves nothing
                text = {"text": "\r"} if key == "Enter" else {}  # what presses a button
                self.call(
                    "Input.dispatchKeyEvent",
                    type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text,
                )  # fmt: skip

    def picture(self, path, *, whole=True):
        """Write a PNG of the page."""
        told = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(told["data"]))

    def pdf(self, path):
        told = self.call("Page.printToPDF", printBackground=False)
        Path(path).write_bytes(base64.b64decode(told["data"]))

    def _send(self, method, /, **params):
        number = next(self._count)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return number

    def _hear(self, seconds):
        ready, _, _ = select.select([self._in], [], [], max(0.0, seconds))
        if not ready:
            return
        got = os.read(self._in, 1 << 20)
        if not got:
            raise RuntimeError("the browser ended")
        *whole, self._left = (self._left + got).split(b"\0")
        for each in whole:
            told = json.loads(each)
            self._note(told)
            yield told

    def _note(self, told):
        params = told.get("params", {})
        if told.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if told.get("method") == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"].get("text", "exception"))
        if told.get("method") == "Runtime.consoleAPICalled" and params["type"] in {
            "error",
            "assert",
        }:
            self.problems.append(str([each.get("value") for each in params["args"]]))
        if (
            told.get("method") == "Log.entryAdded"
            and params["entry"]["level"] == "error"
        ):
            self.problems.append(
                params["entry"]["text"] + " " + params["entry"].get("url", "")
            )
