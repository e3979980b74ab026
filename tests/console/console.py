"""`make local` with its console, and a headless browser that uses it.

The variable LOCAL names the program, BROWSER the browser, and DEAD_LETTERS the operator's tool. The program builds the
function, unless FUNCTION_BINARIES names a folder that contains it.
"""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "target/console"
# The limit for each wait, long enough for a busy machine.
WAIT = 60_000
expect.set_options(timeout=WAIT)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Local:
    """The running program. It has printed `until`, by default the address of its console."""

    def __init__(self, port=None, console=None, until=None, options=()):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        program = os.environ.get("LOCAL", ROOT / "target/debug/reservation-worker-local")
        # A file and not a pipe, so that the program never waits for a reader.
        self.file = tempfile.NamedTemporaryFile()
        command = [program, "local", "--console", console or str(self.port), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self.file, stderr=subprocess.STDOUT)
        while (until or self.url) not in self.output():
            if self.process.poll() is not None:
                raise AssertionError(f"the program ended early: {self.output()}")
            time.sleep(0.1)

    def output(self):
        return Path(self.file.name).read_text()

    def queue_url(self, suffix=""):
        return re.search(rf"http://127\.0\.0\.1:\d+/\d+/reservation-worker(-\d+)?{suffix}\s", self.output())[0].strip()

    def sqs(self, action, queue_url, **parameters):
        """Calls SQS as somebody who does not use the console. Returns the reply, which is XML."""
        # Moto recognises from the signature that a request is for SQS.
        signature = "AWS4-HMAC-SHA256 Credential=test/20261126/ap-northeast-2/sqs/aws4_request"
        query = urllib.parse.urlencode({"Action": action, "QueueUrl": queue_url, **parameters}).encode()
        with urllib.request.urlopen(urllib.request.Request(queue_url, query, {"Authorization": signature})) as reply:
            return reply.read().decode()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self.file.close()

    def request(self, path, method="GET", body=None, headers=()):
        """The status and the text of the reply."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json", **dict(headers)},
                                         method=method)
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def first_update(self, last_event_id=None):
        """The first update of a new stream, with its id."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        update = {}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/stream", headers=headers)) as stream:
            for line in stream:
                name, _, value = line.decode().strip().partition(": ")
                if name == "id":
                    update["id"] = value
                elif name == "data":
                    update |= json.loads(value)
                elif not name:
                    return update
        raise AssertionError("the stream has ended")


class ConsoleTest(unittest.TestCase):
    """Each class has its own pipeline, and each test its own page. Fails if the page reports an error or asks another
    host."""

    @classmethod
    def setUpClass(cls):
        cls.local = Local()
        cls.addClassCleanup(lambda: cls.local.stop())
        playwright = sync_playwright().start()
        cls.addClassCleanup(playwright.stop)
        browser = os.environ["BROWSER"]
        if "firefox" in Path(browser).name:
            # Playwright's other way to control Firefox needs a Firefox of its own.
            cls.browser = playwright.firefox.launch(channel="moz-firefox", executable_path=browser)
        else:
            cls.browser = playwright.chromium.launch(executable_path=browser)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.problems = []
        self.page = self.open_page()

    def tearDown(self):
        self.page.context.close()
        self.assertEqual(self.problems, [])

    def open_page(self, address="#/", url=None, **options):
        url = url or self.local.url
        page = self.browser.new_context(**options).new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        page.on("request", lambda request: request.url.startswith(url + "/") or
                self.problems.append(f"request to {request.url}"))
        page.goto(f"{url}/{address}")
        expect(page.locator("#connection")).to_have_text("live")
        return page

    def go_to(self, view):
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()

    def number(self, name):
        """The element of a number in the picture of the path."""
        return self.page.locator(f"[data-number={name}]")

    def rows(self, **texts):
        """The rows of records that contain each of these texts in the column of this name."""
        rows = self.page.locator(".record")
        for column, text in texts.items():
            rows = rows.filter(has=self.page.locator(f".{column}", has_text=text))
        return rows

    def invariant(self, name):
        return self.page.locator(".invariants li", has_text=name)

    def send_burst(self, events, duplicates=0, poison=0):
        for label, value in {"Events": events, "Duplicates %": duplicates, "Not events": poison}.items():
            self.page.get_by_label(label, exact=True).fill(str(value))
        self.page.get_by_role("button", name="Send the burst").click()
        expect(self.page.get_by_role("status")).to_have_text(re.compile("messages? sent"))

    def break_service(self, name, behaviour, requests=None):
        group = self.page.get_by_role("group", name=name, exact=True)
        group.get_by_label("Behaviour").select_option(behaviour)
        if requests is not None:
            group.get_by_label("Requests").fill(str(requests))
        group.get_by_role("button", name="Apply").click()

    def repair_service(self, name):
        self.page.get_by_role("group", name=name, exact=True).get_by_role("button", name="Repair").click()

    def expect_all_finished(self):
        # All at the same moment: a message goes from one to the other.
        self.page.wait_for_function("""() => ["ready", "waiting", "in_flight"].every(
            (name) => document.querySelector(`[data-number=${name}]`).textContent === "0")""", timeout=3 * WAIT)

    def expect_invariants_to_hold(self):
        expect(self.page.locator(".invariants li.holds")).to_have_count(4)
