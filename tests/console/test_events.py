"""Events that are sent in the console, and their outcomes."""

import json
import re
import unittest

from console import ROOT, WAIT, ConsoleTest
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


class Explanations(ConsoleTest):
    def test_an_empty_batch_says_that_it_has_no_message(self):
        text = "This batch is empty: there is no message to send."
        self.page.get_by_label("Sample", exact=True).select_option("empty-batch")
        expect(self.page.locator(".description")).to_contain_text(text)
        self.page.get_by_role("button", name="Send", exact=True).click()
        expect(self.page.get_by_role("status")).to_have_text(text)

    def test_an_advice_is_shown_when_a_person_must_act(self):
        self.send_burst(0, poison=1)
        expect(self.page.locator(".record .advice")).to_have_count(1)
        expect(self.rows(attempt="receive 5").locator(".advice")).to_contain_text("Correct the producer")
        expect(self.rows(badge="invalid payload")).to_have_count(5)
        expect(self.page.locator(".record .advice")).to_have_count(1)
        self.rows(badge="invalid payload").last.click()
        expect(self.page.locator(".delivery")).to_have_count(5)
        expect(self.page.locator(".delivery .advice")).to_have_count(1)


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
        self.page.get_by_role("link", name="← Reservations").click()
        expect(self.page.get_by_role("button", name="evt_mine")).to_be_visible()


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

    def test_a_body_without_the_facts_of_a_hold_creates_no_hold_and_says_why(self):
        self.page.get_by_text("Write an event").click()
        hold = {"reservation_id": "rsv_x", "event_id": "evt_x", "seat_ids": ["X-1"]}
        for body, problem in [
            ("{", "the body is not JSON ("), ("[]", "the body has no reservation_id."),
            (json.dumps({"detail": hold | {"reservation_id": 5}}), "reservation_id is not a text."),
            (json.dumps(hold | {"event_id": None}), "the body has no event_id."),
            (json.dumps(hold | {"seat_ids": [1]}), "seat_ids is not a list of texts."),
        ]:
            self.page.get_by_label("Body of the event").fill(body)
            self.page.get_by_role("button", name="Create the hold").click()
            expect(self.page.get_by_role("status")).to_have_text(re.compile(f"^No hold was created: {re.escape(problem)}"))

    def test_a_hold_is_created_from_every_shape_that_the_function_accepts(self):
        self.page.get_by_text("Write an event").click()
        for number, body in enumerate([
            {"detail": {"reservationId": "rsv_0", "eventId": "evt_0", "seatIds": ["X-1"]}},
            {"reservation_id": "rsv_1", "event_id": "evt_1", "payload": {"seat_ids": ["X-1"]}},
            {"reservation_id": "rsv_2", "event_id": "evt_2", "seat_ids": ["X-1"]},
        ]):
            self.page.get_by_label("Body of the event").fill(json.dumps(body))
            self.page.get_by_role("button", name="Create the hold").click()
            expect(self.page.get_by_role("status")).to_have_text(f"The hold rsv_{number} was created.")

    def test_a_message_of_the_console_shows_a_hidden_character_as_its_code(self):
        self.page.get_by_text("Write an event").click()
        hold = {"reservation_id": "rsv_\u202e1", "event_id": "evt_hidden", "seat_ids": ["X-1"]}
        self.page.get_by_label("Body of the event").fill(json.dumps(hold))
        self.page.get_by_role("button", name="Create the hold").click()
        expect(self.page.get_by_role("status")).to_have_text("The hold rsv_⟨U+202E⟩1 was created.")

    def test_enter_in_a_field_submits_its_form(self):
        status = self.page.get_by_role("status")
        for label, value, said in [("Events", "2", "2 messages sent."), ("Races", "1", "2 messages sent."),
                                   ("Events", "", "Events must be a whole number from 0 to 20,000.")]:
            self.page.get_by_label(label, exact=True).fill(value)
            for poison in ["Not events", "Duplicates %"]:
                self.page.get_by_label(poison).fill("0")
            self.page.get_by_label(label, exact=True).press("Enter")
            expect(status).to_have_text(said)
        self.page.get_by_text("Write an event").click()
        self.page.get_by_label("Copies").fill("3")
        self.page.get_by_label("Copies").press("Enter")
        expect(status).to_have_text("3 messages sent.")
        group = self.page.get_by_role("group", name="Inventory", exact=True)
        group.get_by_label("Behaviour").select_option("slow")
        group.get_by_label("Delay (ms)").fill("7")
        group.get_by_label("Delay (ms)").press("Enter")
        expect(self.page.locator(".now[data-service=inventory]")).to_contain_text("Now: answers slowly (after 7 ms)")
        self.repair_service("Inventory")

    def test_what_was_entered_is_kept_while_another_view_is_shown(self):
        self.page.get_by_role("button", name="Send", exact=True).click()
        self.page.get_by_text("Write an event").click()
        fields = {"Body of the event": '{"mine": 1}', "Events": "17", "Contains": "rsv_"}
        for label, value in fields.items():
            self.page.get_by_label(label, exact=True).fill(value)
        self.page.get_by_label("Pause").check()
        self.rows().first.click()
        expect(self.page.locator("#story-title")).to_be_visible()
        self.page.get_by_role("link", name="← Live").click()
        self.go_to("Log")
        self.go_to("Live")
        for label, value in fields.items():
            expect(self.page.get_by_label(label, exact=True)).to_have_value(value)
        expect(self.page.get_by_label("Body of the event")).to_be_visible()
        expect(self.page.get_by_label("Pause")).to_be_checked()
        self.page.get_by_label("Pause").uncheck()
        expect(self.number("sent")).not_to_have_text("0")

    def test_a_request_that_the_server_refuses_is_answered_in_a_sentence(self):
        for events, poison in [("0", "0"), ("20000", "1")]:
            self.page.get_by_label("Events", exact=True).fill(events)
            self.page.get_by_label("Not events", exact=True).fill(poison)
            with self.page.expect_response("**/api/bursts"):
                self.page.get_by_role("button", name="Send the burst").click()
            expect(self.page.get_by_role("status")).to_have_text(
                "Events and not events together must be 1 to 20,000, and at most 90 % may be duplicates.")
        self.page.get_by_text("Write an event").click()
        self.page.get_by_label("Body of the event").fill("x" * 1_100_000)
        self.page.get_by_role("button", name="Send the event").click()
        expect(self.page.get_by_role("status")).to_have_text(
            "SQS accepts no body of more than 1 MiB (1,048,576 bytes).")
        # The browser has reported the refusals.
        self.problems.clear()

    def test_the_number_of_sent_messages_grows_while_a_burst_is_sent(self):
        before = int(self.number("sent").inner_text().replace(",", ""))
        for label, value in {"Events": 2_000, "Duplicates %": 0, "Not events": 0}.items():
            self.page.get_by_label(label, exact=True).fill(str(value))
        self.page.get_by_role("button", name="Send the burst").click()
        self.page.wait_for_function("""(before) => {
            const sent = Number(document.querySelector("[data-number=sent]").textContent.replace(",", ""));
            return sent > before && sent < before + 2_000;
        }""", arg=before)
        expect(self.page.get_by_role("status")).to_have_text("2,000 messages sent.", timeout=3 * WAIT)
        expect(self.number("sent")).to_have_text(f"{before + 2_000:,}")
        self.expect_all_finished()

    def test_a_number_that_is_impossible_is_refused_in_words(self):
        for label, value, button, range in [
            ("Events", "-5", "Send the burst", "0 to 20,000"), ("Events", "1.5", "Send the burst", "0 to 20,000"),
            ("Races", "", "Start the races", "1 to 100"),
        ]:
            self.page.get_by_label(label, exact=True).fill(value)
            self.page.get_by_role("button", name=button).click()
            expect(self.page.get_by_role("status")).to_have_text(f"{label} must be a whole number from {range}.")
            expect(self.page.get_by_label(label, exact=True)).to_be_focused()
        self.break_service("Inventory", "slow", requests=-1)
        expect(self.page.get_by_role("status")).to_have_text("Requests must be a whole number from 1 to 100,000.")
        expect(self.page.locator(".now[data-service=inventory]")).to_have_text("Now: works")

    def test_the_trace_of_a_record_shows_its_calls(self):
        self.page.get_by_role("button", name="Start the races").click()
        self.rows(badge="success").first.click()
        trace, spans = self.page.get_by_role("button", name="Trace").first, self.page.locator(".trace summary")
        expect(self.page.locator(".delivery").first).to_be_visible()
        # The function sends its spans after its response.
        while not spans.count():
            with self.page.expect_response("**/api/traces/*"):
                trace.click()
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
