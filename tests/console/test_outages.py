"""Services and processes that are broken and repaired in the console."""

import re
import unittest

from console import PICTURES, ConsoleTest
from playwright.sync_api import expect


class Outages(ConsoleTest):
    def test_records_wait_while_the_inventory_is_off_and_finish_when_it_is_on_again(self):
        done = int(self.number("done").inner_text())
        self.break_service("Inventory", "refuses")
        inventory = self.page.locator(".node.service", has_text="Inventory")
        self.send_burst(60)
        expect(inventory.locator(".state")).to_have_text(re.compile("breaker open in"))
        expect(self.page.locator(".processes .what", has_text="breaker of Inventory open").first).to_be_visible()
        expect(self.number("held")).not_to_have_text("0")
        expect(self.page.locator(".now[data-service=inventory]")).to_have_text(
            re.compile(r"^Now: refuses connections; breaker open in \d+ of \d+ process"))

        self.repair_service("Inventory")
        self.expect_all_finished()
        expect(self.number("done")).to_have_text(str(done + 60))
        expect(self.number("dead")).to_have_text("0")
        expect(inventory.locator(".state")).to_have_text("breaker closed")
        self.expect_invariants_to_hold()

    def test_a_behaviour_for_a_number_of_requests_ends_by_itself(self):
        done = int(self.number("done").inner_text())
        for service, behaviour in [("Reservation API", "denies"), ("Inventory", "loses-replies")]:
            self.break_service(service, behaviour, requests=2)
        expect(self.page.locator(".now[data-service=inventory]")).to_have_text(
            "Now: does the work, loses the reply for 2 more requests")
        self.send_burst(20)
        self.expect_all_finished()
        expect(self.number("done")).to_have_text(str(done + 20))
        for service in ["reservation-api", "inventory"]:
            expect(self.page.locator(f".now[data-service={service}]")).to_have_text("Now: works")
        self.expect_invariants_to_hold()

    def test_a_process_is_frozen_and_continued_and_killed_without_the_loss_of_an_event(self):
        done = int(self.number("done").inner_text())
        self.break_service("Reservation API", "slow")
        expect(self.page.locator(".now[data-service=reservation-api]")).to_have_text(
            re.compile(r"^Now: answers slowly \(after 150 ms\)"))
        self.send_burst(30)
        process = self.page.locator(".processes li[data-pid]", has_text="record").first
        pid = process.get_attribute("data-pid")
        process = self.page.locator(f".processes li[data-pid='{pid}']")
        process.get_by_role("button", name="Freeze").click()
        expect(process.locator(".what")).to_have_text(re.compile("^frozen"))
        expect(self.page.locator(".dot.frozen")).to_have_count(1)
        process.get_by_role("button", name="Continue").click()
        expect(self.page.locator(".dot.frozen")).to_have_count(0)
        self.repair_service("Reservation API")
        self.expect_all_finished()
        expect(self.number("done")).to_have_text(str(done + 30))

        self.break_service("Reservation API", "hangs")
        self.send_burst(1)
        process = self.page.locator(".processes li[data-pid]", has_text="1 record").first
        pid = process.get_attribute("data-pid")
        process.get_by_role("button", name="Kill").click()
        expect(self.page.locator(f".processes li[data-pid='{pid}']")).to_have_count(0)
        interrupted = self.rows(badge="interrupted", reason="SIGKILL")
        expect(interrupted).to_have_count(1)
        expect(interrupted).to_contain_text("so the queue delivers the record again")
        expect(self.page.locator(".next-delivery")).to_have_text(re.compile(r"^, next in \d+ s$"))
        self.page.screenshot(path=PICTURES / "interrupted-1280.png")
        self.repair_service("Reservation API")
        self.expect_all_finished()
        expect(self.number("done")).to_have_text(str(done + 31))
        expect(self.page.locator(".next-delivery")).to_be_empty()

        interrupted.click()
        expect(self.page.get_by_role("heading", name="2 deliveries")).to_be_visible()
        expect(self.page.locator(".delivery .title")).to_have_text(
            [re.compile("interrupted.*receive 1"), re.compile("success.*receive 2")])
        expect(self.page.locator(".delivery").first).to_contain_text(f"process {pid}")
        self.page.screenshot(path=PICTURES / "interrupted-story-1280.png")

    def test_a_delivery_that_was_interrupted_after_its_outcome_has_one_box(self):
        first = {"number": 1, "time": "2026-11-27T12:00:00.1Z", "message_id": "m", "event_type": "payment.approved",
                 "attempt": 1, "outcome": "retried", "reason": "no reply", "duration_ms": 9, "is_dead": False, "call_attempts": []}
        interrupted = {"number": 2, "outcome": "interrupted", "reason": "SIGKILL, so the queue delivers the record again"}
        last = {"number": 3, "attempt": 2, "outcome": "success", "reason": "done"}
        story = {"reservation": None, "seats": {}, "calls": [], "records": [first, first | interrupted]}
        self.page.route("**/api/stories/messages?id=m", lambda route: route.fulfill(json=story))
        self.page.goto(f"{self.local.url}/#/message/m")
        expect(self.page.get_by_role("heading", name="1 delivery")).to_be_visible()
        box = self.page.locator(".delivery")
        expect(box).to_have_text(re.compile("retried.*receive 1.*no reply.*interrupted.*SIGKILL, so the queue"))
        story["records"].append(first | last)
        # When an event ends, the open view asks the server again.
        burst = {"events": 1, "duplicates_percent": 0, "poison": 0}
        self.assertEqual(self.local.request("/api/bursts", "POST", burst)[0], 200)
        expect(self.page.get_by_role("heading", name="2 deliveries")).to_be_visible()
        expect(box).to_have_text([re.compile("interrupted"), re.compile("success.*receive 2")])
        self.go_to("Live")
        self.expect_all_finished()


class Violations(ConsoleTest):
    def test_a_service_that_does_not_do_what_it_says_violates_an_invariant(self):
        self.break_service("Inventory", "lies", requests=1)
        self.page.get_by_role("button", name="Send", exact=True).click()
        violated = self.page.locator(".invariants li.violated")
        expect(violated).to_have_text([re.compile("Status and seats agree")])


class LostEvents(ConsoleTest):
    def test_a_message_that_somebody_else_deletes_violates_an_invariant(self):
        self.break_service("Reservation API", "denies")
        self.page.get_by_role("button", name="Send", exact=True).click()
        # The back-off after the second receive is long.
        expect(self.rows(badge="retried", attempt="receive 2")).to_have_count(1)
        expect(self.number("waiting")).to_have_text("1")
        expect(self.page.locator(".next-delivery")).to_have_text(re.compile(r"^, next in \d+ (s|min)$"))
        expect(self.invariant("No event is lost")).to_have_text("…No event is lost: 1 not finished yet")
        self.local.sqs("PurgeQueue", self.local.queue_url())
        expect(self.page.locator(".invariants li.violated")).to_have_text([re.compile("No event is lost")])
        expect(self.page.locator(".next-delivery")).to_be_empty()


if __name__ == "__main__":
    unittest.main()
