"""Hostile content, keyboard use in lists that change, connections that break, and actions at bad moments."""

import http.client
import json
import re
import signal
import socket
import subprocess
import unittest
import urllib.request

from console import ConsoleTest
from playwright.sync_api import expect

# Ids that mean something in HTML, in a path, in a selector, in JavaScript, or to the eye.
HOSTILE_IDS = ["..", "../../etc", "a/b?c#d&e=%2e", "<img src=x onerror=alert(1)>", "'\"`][data-x]", "__proto__", "null",
               "rsv_\u202e123", "x" * 5_000]


class HostileIds(ConsoleTest):
    def test_reservations_with_any_id_are_shown_and_have_a_story(self):
        for number, id in enumerate(HOSTILE_IDS):
            hold = {"reservation_id": id, "event_id": id, "seat_ids": [f"S-{number}", id]}
            self.assertEqual(self.local.request("/api/holds", "POST", hold)[0], 200, id)
        for id in HOSTILE_IDS:
            with self.subTest(id[:40]):
                # The direction mark is visible.
                shown = id.replace("\u202e", "⟨U+202E⟩")
                self.page.goto(f"{self.local.url}/#/reservations")
                row = self.page.locator(".reservations tbody tr").filter(
                    has=self.page.get_by_role("link", name=shown, exact=True))
                expect(row.locator(".status")).to_have_text("HOLD")
                self.page.locator(".concerts button").filter(has=self.page.get_by_text(shown, exact=True)).click()
                expect(self.page.locator("#seats-title")).to_have_text(f"Seats of {shown}")
                expect(self.page.locator(".seat-map .HOLD")).to_have_count(2)
                # The middle of a link with many lines can be beside it.
                row.get_by_role("link").press("Enter")
                expect(self.page.locator("#story-title")).to_have_text(f"Reservation {shown}")
                expect(self.page.locator(".facts .status")).to_have_text("HOLD")
                self.expect_no_overflow()

    def test_a_large_body_and_a_body_with_control_characters_do_not_break_the_page(self):
        bodies = ["x" * 200_000, '{"type":"reservation.expired","type":"payment.failed","detail":{"reservation_id":"a",'
                  '"reservation_id":"b"}}', "\u202eevil\u0007", json.dumps({"type": "\u202e" + "y" * 5_000})]
        for body in bodies:
            status, text = self.local.request("/api/messages", "POST", {"body": body, "copies": 1})
            # SQS accepts no control characters.
            self.assertEqual(status, 409 if "\u0007" in body and status != 200 else 200, text)
        expect(self.rows(badge="invalid payload").first).to_be_visible()
        self.expect_no_overflow()
        self.go_to("Dead letters")
        expect(self.page.locator(".letter")).not_to_have_count(0)
        self.page.get_by_text("Body", exact=True).first.click()
        self.expect_no_overflow()
        self.go_to("Log")
        expect(self.page.locator(".log li").first).to_be_visible()
        self.expect_no_overflow()

    def test_an_address_that_does_not_exist_shows_a_view(self):
        for address in ["#/reservation/%", "#/reservation", "#/message/%E0%A4%A", "#/nonsense", "#//", "#"]:
            self.page.goto(f"{self.local.url}/{address}")
            expect(self.page.locator("main h2").first).to_be_visible()

    def expect_no_overflow(self):
        self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"), 0)


class Keyboard(ConsoleTest):
    def test_a_button_keeps_the_focus_when_it_is_pressed(self):
        send = self.page.get_by_role("button", name="Send", exact=True)
        send.focus()
        for _ in range(3):
            self.page.keyboard.press("Enter")
            expect(self.page.get_by_role("status")).to_have_text("1 message sent.")
            expect(send).to_be_focused()

    def test_the_record_that_has_the_focus_can_be_seen(self):
        self.page.get_by_role("button", name="Send", exact=True).click()
        row = self.rows().first
        expect(row.locator(".badge")).to_be_visible()
        # The keyboard is used, so that the browser shows the focus.
        self.page.get_by_label("Pause").focus()
        self.page.keyboard.press("Space")
        without = row.screenshot()
        self.page.keyboard.press("Tab")
        expect(row.get_by_role("link")).to_be_focused()
        self.assertTrue(row.screenshot() != without, "the focus cannot be seen")
        self.page.get_by_label("Pause").uncheck()

    def test_the_focus_stays_in_the_list_when_a_dead_letter_is_removed(self):
        self.send_burst(0, poison=3)
        expect(self.number("dead")).to_have_text("3")
        self.go_to("Dead letters")
        letters = self.page.locator(".letter")
        expect(letters).to_have_count(3)
        letters.first.get_by_role("button", name="Delete").focus()
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Enter")
        expect(letters).to_have_count(2)
        expect(letters.first.get_by_role("button", name="Delete")).to_be_focused()
        # Without a letter the focus is on the title, and not at the start of the page.
        letters.last.get_by_role("button", name="Delete").focus()
        delete_all = self.page.get_by_role("button", name="Delete all")
        delete_all.focus()
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Enter")
        expect(letters).to_have_count(0)
        expect(delete_all).to_be_focused()

    def test_what_is_open_stays_open_while_the_view_changes(self):
        self.page.get_by_role("button", name="Send", exact=True).click()
        expect(self.rows(badge="success")).not_to_have_count(0)
        self.go_to("Log")
        self.page.locator(".log summary").first.click()
        number = self.page.locator(".log li").count()
        self.local.request("/api/messages", "POST", {"body": "nonsense", "copies": 1})
        expect(self.page.locator(".log li").nth(number)).to_be_attached()
        expect(self.page.locator(".log details[open]")).to_have_count(1)

        body = {"type": "reservation.expired", "detail": {"reservation_id": "rsv_open"}}
        self.local.request("/api/messages", "POST", {"body": json.dumps(body), "copies": 1})
        self.page.goto(f"{self.local.url}/#/reservation/rsv_open")
        call = self.page.locator(".calls details").first
        call.locator("summary").click()
        deliveries = self.page.locator(".delivery").count()
        self.local.request("/api/messages", "POST", {"body": json.dumps(body), "copies": 1})
        expect(self.page.locator(".delivery").nth(deliveries)).to_be_visible()
        expect(self.page.locator(".calls details[open]")).to_have_count(1)

    def test_each_control_has_a_name_and_the_page_has_one_first_heading(self):
        for address in ["#/", "#/reservations", "#/dead-letters", "#/log"]:
            self.page.goto(f"{self.local.url}/{address}")
            expect(self.page.locator("main h2").first).to_be_visible()
            expect(self.page.get_by_role("heading", level=1)).to_have_count(1)
            for role in ["button", "textbox", "searchbox", "spinbutton", "combobox", "checkbox", "link"]:
                for control in self.page.get_by_role(role).all():
                    self.assertNotRegex(control.aria_snapshot().splitlines()[0], rf"^- {role}:?$")


class Numbers(ConsoleTest):
    def test_the_numbers_of_the_last_seconds_become_zero_although_nothing_happens(self):
        self.send_burst(30)
        rates = self.page.locator(".path .rate", has_text="records/s")
        expect(rates).not_to_have_text("0 records/s")
        self.expect_all_finished()
        expect(rates).to_have_text("0 records/s", timeout=20_000)
        expect(self.number("inventory")).to_have_text("0")


class ManyPages(ConsoleTest):
    def test_pages_in_the_background_leave_the_connections_to_the_page_that_is_seen(self):
        pages = [self.page]
        for _ in range(8):
            self.set_hidden(pages[-1], True)
            page = self.page.context.new_page()
            page.goto(self.local.url)
            expect(page.locator("#connection")).to_have_text("live")
            pages.append(page)
        pages[-1].get_by_role("button", name="Send", exact=True).click()
        expect(pages[-1].get_by_role("status")).to_have_text("1 message sent.")
        expect(pages[-1].locator(".record")).not_to_have_count(0)
        self.set_hidden(pages[-1], True)
        self.set_hidden(self.page, False)
        expect(self.rows(badge="success")).not_to_have_count(0)
        expect(self.number("sent")).to_have_text("1")

    def set_hidden(self, page, is_hidden):
        page.evaluate("""(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""", is_hidden)


class StoppedServer(ConsoleTest):
    def test_a_server_that_does_not_answer_is_noticed_and_nothing_is_lost(self):
        self.local.process.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: self.local.process.send_signal(signal.SIGCONT))
        expect(self.page.locator("#connection")).to_have_text("connecting …")
        self.local.process.send_signal(signal.SIGCONT)
        expect(self.page.locator("#connection")).to_have_text("live")
        self.send_burst(20)
        expect(self.number("done")).to_have_text("20")
        expect(self.rows()).to_have_count(20)


class BadMoments(ConsoleTest):
    def test_a_request_is_completed_although_the_page_is_closed(self):
        self.send_poison(40)
        before = self.returned()
        self.post_and_leave("/api/dead-letters/redrive", lambda: self.returned() > before)
        # They die once more.
        expect(self.number("dead")).to_have_text("40")
        self.expect_all_finished()
        self.post_and_leave("/api/dead-letters/delete", lambda: self.number("dead").inner_text() == "0")
        self.expect_invariants_to_hold()

    def returned(self):
        return self.local.first_update()["overview"]["mapping"]["returned"]

    def send_poison(self, number):
        """Afterwards the dead-letter queue contains this number of messages."""
        self.local.request("/api/dead-letters/delete", "POST", {"message_ids": None})
        self.send_burst(0, poison=number)
        expect(self.number("dead")).to_have_text(str(number))
        self.expect_all_finished()

    def post_and_leave(self, path, is_done):
        """Closes the connection at once. The server may notice that before it has read the request, and does nothing then."""
        while not is_done():
            with socket.create_connection(("127.0.0.1", self.local.port)) as connection:
                connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.local.port}\r\n"
                                   'Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"message_ids":null}'
                                   .encode())
            # It is answered after the request above, because only one of them may read the dead-letter queue at a time.
            self.local.request("/api/dead-letters")

    def test_dead_letters_that_are_redriven_and_deleted_at_once_are_neither_lost_nor_doubled(self):
        self.send_poison(30)
        done = [json.loads(text) for _, text in self.at_once([("redrive", None), ("delete", None), ("redrive", None),
                                                              ("delete", None)])]
        # What was redriven first can have died again before it was deleted.
        self.assertGreaterEqual(sum(done), 30, done)
        expect(self.number("dead")).to_have_text(str(30 - done[1] - done[3]))
        self.expect_all_finished()
        self.expect_invariants_to_hold()

    def at_once(self, actions):
        connections = []
        for action, ids in actions:
            connection = http.client.HTTPConnection("127.0.0.1", self.local.port)
            connection.request("POST", f"/api/dead-letters/{action}", json.dumps({"message_ids": ids}),
                               {"content-type": "application/json"})
            connections.append(connection)
        replies = [connection.getresponse() for connection in connections]
        results = [(reply.status, reply.read()) for reply in replies]
        for connection in connections:
            connection.close()
        self.assertEqual({status for status, _ in results}, {200})
        return results

    def test_an_idle_process_that_is_killed_disappears_and_takes_no_message(self):
        done = int(self.number("done").inner_text())
        self.page.get_by_role("button", name="Send", exact=True).click()
        expect(self.number("done")).to_have_text(str(done + 1))
        process = self.page.locator(".processes li[data-pid]", has_text="idle").first
        pid = process.get_attribute("data-pid")
        self.page.locator(f".processes li[data-pid='{pid}']").get_by_role("button", name="Kill").click()
        self.page.get_by_role("button", name="Send", exact=True).click()
        # Far less than the visibility time-out.
        expect(self.number("done")).to_have_text(str(done + 2), timeout=20_000)
        expect(self.page.locator(f".processes li[data-pid='{pid}']")).to_have_count(0)

    def test_a_process_that_is_killed_while_it_is_frozen_loses_no_event(self):
        done = int(self.number("done").inner_text())
        self.break_service("Reservation API", "slow")
        self.send_burst(10)
        row = self.page.locator(".processes li[data-pid]", has_text="record").first
        pid = row.get_attribute("data-pid")
        row = self.page.locator(f".processes li[data-pid='{pid}']")
        row.get_by_role("button", name="Freeze").click()
        expect(row.locator(".what")).to_have_text(re.compile("^frozen"))
        row.get_by_role("button", name="Kill").click()
        expect(row).to_have_count(0)
        self.repair_service("Reservation API")
        self.expect_all_finished()
        expect(self.number("done")).to_have_text(str(done + 10))
        self.expect_invariants_to_hold()

    def test_ctrl_c_while_a_process_is_frozen_and_a_burst_runs_leaves_no_process(self):
        local = type(self.local)()
        local.request("/api/services/reservation-api", "PUT", {"behaviour": "slow", "ms": 300})
        local.request("/api/bursts", "POST", {"events": 200, "duplicates_percent": 0, "poison": 0})
        processes = []
        while not processes:
            processes = [process["pid"] for process in local.first_update()["overview"]["processes"]]
        for pid in processes:
            local.request(f"/api/processes/{pid}/freeze", "POST")
        local.stop()
        self.assertEqual(local.process.returncode, 0)
        pids = ",".join(map(str, processes))
        states = subprocess.run(["ps", "-o", "stat=", "-p", pids], capture_output=True, text=True).stdout.split()
        # In a container without an init process nobody takes note of their end.
        self.assertEqual([state for state in states if not state.startswith("Z")], [])


class Faults(ConsoleTest):
    def test_a_service_refuses_a_number_of_requests(self):
        self.break_service("Reservation API", "refuses", requests=2)
        self.page.get_by_role("button", name="Send", exact=True).click()
        expect(self.rows(badge="success")).to_have_count(1)
        expect(self.page.locator(".now[data-service=reservation-api]")).to_have_text("Now: works")
        self.rows().first.click()
        expect(self.page.locator(".waterfall tr.bad")).to_have_count(2)

    def test_a_behaviour_that_cannot_be_is_refused(self):
        none = {"behaviour": "hangs", "requests": 0}
        for mode, reason in [(none, "at least 1 request"), ({"behaviour": "slow"}, "ms")]:
            status, text = self.local.request("/api/services/inventory", "PUT", mode)
            self.assertEqual(status, 400)
            self.assertIn(reason, text)
        for burst in [{"events": 2 ** 64 - 1, "duplicates_percent": 0, "poison": 1}]:
            status, text = self.local.request("/api/bursts", "POST", burst)
            self.assertEqual(status, 400, text)

    def test_a_fault_that_was_added_elsewhere_is_shown_and_removed(self):
        base = re.search(r"reservation API +(\S+)", self.local.output())[1]
        fault = {"operation": "release-hold", "effect": {"grpc": {"code": 3}}}
        headers = {"content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{base}/faults", json.dumps(fault).encode(), headers)):
            pass
        group = self.page.get_by_role("group", name="Other faults")
        expect(group).to_contain_text("release-hold")
        group.get_by_role("button", name="Remove all faults").click()
        expect(group).to_be_hidden()


class OtherSites(ConsoleTest):
    def test_requests_that_another_site_causes_without_an_origin_are_refused(self):
        for site, mode, path, expected in [
            ("cross-site", "no-cors", "/api/stream", 403), ("same-site", "no-cors", "/api/dead-letters/what-if", 403),
            ("cross-site", "navigate", "/api/dead-letters", 403), ("cross-site", "navigate", "/", 200),
            ("same-origin", "cors", "/api/samples", 200), ("none", "navigate", "/", 200),
        ]:
            status, _ = self.local.request(path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})
            self.assertEqual(status, expected, (site, path))


if __name__ == "__main__":
    unittest.main()
