"""Events that are sent in the console, and their outcomes."""

import json
import re
import unittest

from console import ROOT, ConsoleTest
from playwright.sync_api import expect

SAMPLES = {path.stem: json.loads(path.read_text())["Records"] for path in sorted((ROOT / "events").glob("*.json"))}


class Samples(ConsoleTest):
    def test_the_first_delivery_of_each_sample_has_the_expected_outcome(self):
        choice = self.page.get_by_label("Sample", exact=True)
        expect(choice.locator("option")).to_have_count(len(SAMPLES))
        sent, expected = 0, 0
        for name, records in SAMPLES.items():
            with self.subTest(name):
                choice.select_option(name)
                self.page.get_by_role("button", name="Send", exact=True).click()
                sent += len(records)
                # The queue is a standard queue, so that the expectations for a FIFO queue do not count.
                expected += sum(not record["eventSourceARN"].endswith(".fifo") for record in records)
                expect(self.number("sent")).to_have_text(str(sent))
        self.expect_all_finished()
        expect(self.rows(reason="as expected")).to_have_count(expected)
        expect(self.page.locator(".unexpected")).to_have_count(0)
        self.expect_invariants_to_hold()


class Seats(ConsoleTest):
    def test_the_seat_map_changes_as_seats_are_held_sold_and_released(self):
        self.page.get_by_role("button", name="Start the races").click()
        expect(self.page.get_by_role("status")).to_have_text("10 messages sent.")
        self.expect_all_finished()
        self.page.get_by_text("Write an event").click()
        self.page.get_by_role("button", name="Create the hold").click()
        self.go_to("Reservations")
        self.page.get_by_role("button", name="evt_mine").click()
        seats = self.page.locator(".seat-map .seat")
        expect(seats).to_have_text(["Z-1", "Z-2"])
        expect(self.page.locator(".seat-map .HOLD")).to_have_count(2)
        body = json.dumps({"type": "payment.failed", "detail": {"reservation_id": "rsv_mine"}})
        self.local.request("/api/messages", "POST", {"body": body, "copies": 1})
        expect(self.page.locator(".seat-map .AVAILABLE")).to_have_count(2)

        self.page.get_by_role("button", name="evt_race").click()
        sold_and_free = self.page.locator(".seat-map .SOLD, .seat-map .AVAILABLE")
        expect(sold_and_free).to_have_count(5)
        self.page.get_by_label("Contains").fill("rsv_race")
        expect(self.page.locator(".reservations tbody tr")).to_have_count(5)
        self.page.get_by_role("link", name="rsv_race").first.click()
        # The expiry and the payment, of which the second one may have been received five times.
        expect(self.page.locator(".delivery").nth(1)).to_be_visible()


class Filters(ConsoleTest):
    def test_the_list_shows_the_records_that_match_all_filters(self):
        self.send_burst(30, poison=2)
        self.expect_all_finished()
        expect(self.number("dead")).to_have_text("2")
        expect(self.rows()).to_have_count(40)
        chips = self.page.get_by_role("group", name="Outcomes to show")
        chips.get_by_role("button", name="success").click()
        expect(self.rows()).to_have_count(30)
        self.page.get_by_label("Type").select_option("payment.approved")
        expect(self.rows(type="payment.approved")).to_have_count(self.rows().count())
        self.assertIn(self.rows().count(), range(5, 15))
        self.page.get_by_label("Contains").fill("nothing has this text")
        expect(self.rows()).to_have_count(0)
        expect(self.page.get_by_text("No record matches the filter.")).to_be_visible()
        self.page.get_by_label("Contains").fill("")
        chips.get_by_role("button", name="success").click()
        chips.get_by_role("button", name="invalid payload").click()
        self.page.get_by_label("Type").select_option("all types")
        expect(self.rows(badge="invalid payload")).to_have_count(10)


class OwnEvents(ConsoleTest):
    def test_an_own_event_with_its_hold_sells_the_seats(self):
        self.page.get_by_text("Write an event").click()
        self.page.get_by_role("button", name="Create the hold").click()
        expect(self.page.get_by_role("status")).to_have_text("The hold rsv_mine was created.")
        self.page.get_by_role("button", name="Send the event").click()
        self.rows(badge="success", id="rsv_mine").click()
        expect(self.page.locator(".facts .status")).to_have_text("CONFIRMED")
        expect(self.page.locator(".facts .seat.SOLD")).to_have_text(["Z-1 SOLD", "Z-2 SOLD"])
        calls = self.page.locator(".waterfall tbody tr")
        expect(calls).to_have_text([re.compile("Reservation API.*PATCH.*200"), re.compile("Inventory.*Commit.*OK")])

    def test_the_trace_of_a_record_shows_its_calls(self):
        self.page.get_by_role("button", name="Start the races").click()
        self.rows(badge="success").first.click()
        trace, spans = self.page.get_by_role("button", name="Trace").first, self.page.locator(".trace summary")
        expect(self.page.locator(".delivery").first).to_be_visible()
        # The function sends its spans after its response.
        while not spans.count():
            trace.click()
            self.page.wait_for_timeout(200)
        texts = spans.all_inner_texts()
        self.assertTrue(any("PATCH /internal/reservations/{id}" in text for text in texts), texts)
        self.assertTrue(any("InventoryService" in text for text in texts), texts)

    def test_of_an_expiry_and_a_payment_only_one_wins(self):
        won = self.page.locator(".chip.success .count")
        before = int(won.inner_text())
        self.page.get_by_label("Races").fill("8")
        self.page.get_by_role("button", name="Start the races").click()
        expect(self.page.get_by_role("status")).to_have_text("16 messages sent.")
        self.expect_all_finished()
        expect(won).to_have_text(str(before + 8))
        self.expect_invariants_to_hold()

    def test_a_body_of_script_tags_stays_text(self):
        body = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
        self.page.get_by_text("Write an event").click()
        self.page.get_by_label("Body of the event").fill(body)
        self.page.get_by_role("button", name="Send the event").click()
        event = json.dumps({"type": "payment.failed", "detail": {"reservation_id": body}})
        self.page.get_by_label("Body of the event").fill(event)
        self.page.get_by_role("button", name="Send the event").click()
        expect(self.number("dead")).to_have_text("2")
        self.go_to("Dead letters")
        expect(self.page.locator(".letter")).to_have_count(2)
        for summary in self.page.get_by_text("Body", exact=True).all():
            summary.click()
        expect(self.page.locator(".letter pre", has_text=body)).to_be_visible()
        self.go_to("Log")
        expect(self.page.locator(".log li").first).to_be_visible()
        self.assertEqual(self.page.title(), "Reservation worker: console")
        self.assertEqual(self.page.locator("main script, main img").count(), 0)


if __name__ == "__main__":
    unittest.main()
