"""The page itself: how it connects, what it refuses, how it looks, and how it performs with many events."""

import http.client
import json
import re
import unittest
import urllib.request
from pathlib import Path

from breakable_proxy import BreakableProxy
from console import PICTURES, ConsoleTest, Local
from playwright.sync_api import expect

# The address of each view, and what it shows when it has the reply of the server.
VIEWS = {"live": ("#/", ".record"), "reservations": ("#/reservations", ".seat-map .seat"),
         "dead-letters": ("#/dead-letters", ".letter"), "log": ("#/log", ".log li"),
         "story": ("#/reservation/rsv_01JCN57R9D", ".delivery")}
MODES = {
    "1280": {"viewport": {"width": 1280, "height": 900}},
    "360": {"viewport": {"width": 360, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}


class Views(ConsoleTest):
    def test_each_view_fits_its_width_in_each_mode(self):
        self.page.get_by_role("button", name="Send all").click()
        expect(self.page.get_by_role("status")).to_contain_text("samples sent")
        self.expect_all_finished()
        for mode, options in MODES.items():
            for view, (address, content) in VIEWS.items():
                with self.subTest(view=view, mode=mode):
                    page = self.open_page(address, **options)
                    expect(page.locator("main h2").first).to_be_visible()
                    page.wait_for_load_state("load")
                    expect(page.locator(content).first).to_be_visible()
                    page.screenshot(path=PICTURES / f"{view}-{mode}.png")
                    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    self.assertLessEqual(overflow, 0)
                    page.context.close()

    def test_on_a_narrow_page_a_long_code_fits_its_table_and_a_command_breaks_only_between_its_words(self):
        attempt = {"service": "reservation-api", "method": "PATCH", "status": "409 RESERVATION_STATUS_CONFLICT_" + "X" * 30,
                   "result": "rejected", "start_ms": 0, "duration_ms": 5}
        record = {"number": 1, "time": "2026-11-27T12:00:00.1Z", "message_id": "m", "event_type": "payment.approved",
                  "attempt": 5, "outcome": "failed", "reason": "rejected", "duration_ms": 9, "is_dead": True,
                  "advice": "Delete it: `dead-letters plan --action delete --reason reservation_api_rejected`.",
                  "call_attempts": [attempt]}
        story = {"reservation": None, "seats": {}, "calls": [], "records": [record]}
        page = self.open_page(viewport={"width": 360, "height": 800})
        self.addCleanup(page.context.close)
        page.route("**/api/stories/messages?id=m", lambda route: route.fulfill(json=story))
        page.goto(f"{self.local.url}/#/message/m")
        table = page.locator(".waterfall")
        expect(table).to_be_visible()
        self.assertLessEqual(table.evaluate("(table) => table.scrollWidth - table.clientWidth"), 0)
        expect(page.locator(".advice")).to_have_text(record["advice"].replace("`", ""))
        words = page.locator(".advice .word")
        expect(words).to_have_count(6)
        self.assertEqual(len({word.bounding_box()["height"] for word in words.all()}), 1)

    def test_the_picture_is_visible_while_the_forms_are_used_and_no_name_is_cut(self):
        for width in [1280, 1000]:
            with self.subTest(width=width):
                self.page.context.close()
                self.page = self.open_page(viewport={"width": width, "height": 900})
                self.expect_visible_picture(width)

    def expect_visible_picture(self, width):
        forms, picture = self.page.locator(".side"), self.page.locator(".path")
        # On a wide page, the Tab key goes from left to right.
        self.assertLess(forms.bounding_box()["x"], self.page.locator(".records").bounding_box()["x"])
        for button in forms.get_by_role("button", name="Apply").all():
            button.focus()
            for visible in [button, picture, self.invariant("No event is lost")]:
                expect(visible).to_be_in_viewport(ratio=1)
            top = self.page.locator(".live > .panel").first.bounding_box()
            self.assertGreaterEqual(button.bounding_box()["y"], top["y"] + top["height"])
        self.page.screenshot(path=PICTURES / f"forms-{width}.png")
        for list in forms.get_by_role("combobox").all():
            # The arrow of the list takes the rest.
            self.assertLess(list.evaluate("""(list) => {
                const context = document.createElement("canvas").getContext("2d");
                context.font = getComputedStyle(list).font;
                const widths = Array.from(list.options, ({ text }) => context.measureText(text).width);
                return Math.max(...widths) + 45 - list.clientWidth;
            }"""), 0)

    def test_the_link_to_the_content_keeps_the_view(self):
        self.page.goto(f"{self.local.url}/#/log")
        expect(self.page.get_by_role("heading", name="Log")).to_be_visible()
        self.page.get_by_role("link", name="Skip to the content").focus()
        self.page.keyboard.press("Enter")
        expect(self.page.locator("main")).to_be_focused()
        self.assertTrue(self.page.url.endswith("#/log"), self.page.url)

    def test_one_line_of_the_log_is_called_one(self):
        line = {"number": 1, "process": None, "line": {"level": "WARN", "message": "the only one"}}
        self.page.route(re.compile("/api/log"), lambda route: route.fulfill(json=[line]))
        self.go_to("Log")
        expect(self.page.get_by_text("Latest first: 1 matching line.", exact=True)).to_be_visible()

    def test_the_limit_of_the_log_is_not_shown_as_a_number_of_matches(self):
        lines = [{"number": number, "process": None, "line": {"level": "WARN", "message": "one"}} for number in range(1, 301)]
        self.page.route(re.compile("/api/log"), lambda route: route.fulfill(json=lines))
        self.go_to("Log")
        note = "Latest first. The filter searches the latest 10,000 lines, and shows at most 300."
        expect(self.page.get_by_text(note, exact=True)).to_be_visible()

    def test_the_page_is_usable_by_keyboard(self):
        self.page.keyboard.press("Tab")
        expect(self.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        self.page.keyboard.press("Enter")
        expect(self.page.locator("main")).to_be_focused()
        self.page.keyboard.press("Tab")
        expect(self.page.get_by_label("Sample", exact=True)).to_be_focused()
        outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        self.assertEqual(outline, "3px")
        sent = int(self.number("sent").inner_text())
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Enter")
        expect(self.number("sent")).to_have_text(str(sent + 1))


class Off(unittest.TestCase):
    def test_the_console_can_be_left_out(self):
        local = Local(console="off", until="Ctrl-C")
        self.addCleanup(local.stop)
        self.assertNotIn("onsole", local.output())


class Guards(ConsoleTest):
    def test_a_foreign_host_and_a_foreign_origin_are_refused(self):
        port = self.local.port
        own = [f"127.0.0.1:{port}", f"localhost:{port}"]
        for host in own:
            self.assertEqual(self.status("GET", host, None), 200)
            self.assertEqual(self.status("GET", host, f"http://{own[0]}"), 200)
        for host in ["evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""]:
            self.assertEqual(self.status("GET", host, None), 403, host)
        for origin in ["http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1", "http://localhost:1"]:
            for method, path in [("GET", "/api/stream"), ("POST", "/api/bursts")]:
                self.assertEqual(self.status(method, own[0], origin, path), 403, origin)
        self.assertEqual(self.number("sent").inner_text(), "0")

    def status(self, method, host, origin, path="/"):
        connection = http.client.HTTPConnection("127.0.0.1", self.local.port)
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": host, "Origin": origin}.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    def test_the_page_may_load_nothing_from_elsewhere_and_run_no_inline_script(self):
        policy = self.page.request.get(self.local.url).headers["content-security-policy"]
        self.assertIn("default-src 'none'; script-src 'self'; style-src 'self'", policy)
        self.assertIn("require-trusted-types-for 'script'", policy)
        self.assertNotIn("unsafe", policy)

    def test_invalid_requests_are_refused_with_a_reason(self):
        for path, body, reason in [
            ("/api/bursts", {"events": 0, "duplicates_percent": 0, "poison": 0}, "1 to 20,000"),
            ("/api/races", {"races": 0}, "1 to 100"),
            ("/api/messages", {"body": "", "copies": 1}, "empty body"),
            ("/api/samples/none", {}, "no sample event"),
            ("/api/processes/1/kill", {}, "no such process"),
        ]:
            status, text = self.local.request(path, "POST", body)
            self.assertIn(status, range(400, 500), path)
            self.assertIn(reason, text)


class Reconnection(ConsoleTest):
    def test_the_page_connects_again_after_a_restart_and_shows_only_the_new_pipeline(self):
        done = int(self.number("done").inner_text())
        self.send_burst(30)
        expect(self.number("done")).to_have_text(str(done + 30))
        self.local.stop()
        expect(self.page.locator("#connection")).to_have_text("connecting …")
        expect(self.page.get_by_role("alert")).to_have_text(re.compile("make local does not answer"))
        expect(self.page.locator("main")).to_have_css("opacity", "0.45")
        type(self).local = Local(self.local.port)
        expect(self.page.locator("#connection")).to_have_text("live")
        expect(self.page.get_by_role("alert")).to_have_count(0)
        # The browser has reported that its connections were refused.
        self.problems.clear()
        expect(self.page.get_by_role("status")).to_contain_text("The pipeline was started again")
        expect(self.number("done")).to_have_text("0")
        expect(self.rows()).to_have_count(0)
        self.send_burst(40)
        expect(self.number("done")).to_have_text("40")
        expect(self.rows()).to_have_count(40)

    def test_records_that_ended_while_the_connection_was_broken_are_shown_afterwards(self):
        proxy = BreakableProxy(self.local.port)
        self.addCleanup(proxy.close)
        self.page.context.close()
        self.page = self.open_page(url=proxy.url)
        before = self.rows().count()
        done = int(self.number("done").inner_text())
        self.send_burst(10)
        expect(self.number("done")).to_have_text(str(done + 10))
        proxy.break_connections()
        expect(self.page.locator("#connection")).to_have_text("connecting …")
        self.local.request("/api/bursts", "POST", {"events": 30, "duplicates_percent": 0, "poison": 0})
        while self.local.first_update()["overview"]["mapping"]["done"] < done + 40:
            pass
        expect(self.rows()).to_have_count(before + 10)
        proxy.repair()
        expect(self.number("done")).to_have_text(str(done + 40))
        # The browser has reported that its connections were refused.
        self.problems.clear()
        numbers = [int(row.get_attribute("data-number")) for row in self.rows().all()]
        latest = max(numbers)
        self.assertEqual(numbers, list(range(latest, latest - len(numbers), -1)))
        self.assertGreaterEqual(len(numbers), before + 40)

    def test_a_reader_gets_what_it_has_missed_or_a_snapshot(self):
        first = self.local.first_update()
        self.assertTrue(first["is_snapshot"])
        done = int(self.number("done").inner_text())
        self.send_burst(5)
        expect(self.number("done")).to_have_text(str(done + 5))
        self.assertEqual(self.local.first_update(first["id"])["is_snapshot"], False)
        missed = [record["number"] for record in self.local.first_update(first["id"])["records"]]
        latest = int(first["id"].split("-")[1])
        self.assertEqual(missed, list(range(latest + 1, latest + 1 + len(missed))))
        self.assertGreaterEqual(len(missed), 5)
        for unknown in ["0000000000000000-1", first["id"] + "999", "nonsense"]:
            self.assertTrue(self.local.first_update(unknown)["is_snapshot"], unknown)


class ManyEvents(ConsoleTest):
    EVENTS = 10_000

    def test_ten_thousand_events_do_not_slow_the_page(self):
        heap_before = self.heap()
        self.page.evaluate("""() => {
            window.frames_ = [];
            const frame = (time) => { window.frames_.push(time); requestAnimationFrame(frame); };
            requestAnimationFrame(frame);
        }""")
        self.page.get_by_label("Events", exact=True).fill(str(self.EVENTS))
        self.page.get_by_role("button", name="Send the burst").click()
        # On a machine that is too busy, the queue delivers some events twice.
        self.page.wait_for_function("""(events) => Number(
            document.querySelector("[data-number=done]").textContent.replace(",", "")) >= events""",
                                    arg=self.EVENTS, timeout=600_000)
        self.expect_all_finished()
        times = self.page.evaluate("window.frames_")
        gaps = sorted(later - earlier for earlier, later in zip(times, times[1:]))
        rate, slowest = len(gaps) / (times[-1] - times[0]) * 1_000, gaps[-1]
        heap = self.heap() - heap_before
        nodes = self.page.evaluate("document.querySelectorAll('*').length")
        print(f"\n10,000 events in {(times[-1] - times[0]) / 1_000:.0f} s: {rate:.0f} frames per second, 99 % of the frames "
              f"within {gaps[len(gaps) * 99 // 100]:.0f} ms, the slowest {slowest:.0f} ms, heap + {heap / 1e6:.1f} MB, "
              f"{nodes} elements")
        status = Path(f"/proc/{self.local.process.pid}/status")
        if status.exists():
            print(re.search("VmRSS.*", status.read_text())[0], "of the server")
        self.assertLess(nodes, 5_000)
        self.assertLess(heap, 40e6)
        expect(self.rows()).to_have_count(100)
        self.expect_invariants_to_hold()

    def heap(self):
        if self.browser.browser_type.name != "chromium":
            return 0  # only Chromium tells it
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]


if __name__ == "__main__":
    unittest.main()
