"""Services and processes that are broken and repaired in the console."""

import re
import unittest
import urllib.parse
import urllib.request

from console import ConsoleTest
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

    def test_a_behaviour_for_a_number_of_calls_ends_by_itself(self):
        done = int(self.number("done").inner_text())
        for service, behaviour in [("Reservation API", "denies"), ("Inventory", "loses-replies")]:
            self.break_service(service, behaviour, calls=2)
        expect(self.page.locator(".now[data-service=inventory]")).to_have_text(
            "Now: does the work, loses the reply for 2 more calls")
        self.send_burst(20)
        self.expect_all_finished()
        expect(self.number("done")).to_have_text(str(done + 20))
        for service in ["reservation-api", "inventory"]:
            expect(self.page.locator(f".now[data-service={service}]")).to_have_text("Now: works")
        self.expect_invariants_to_hold()

    def test_a_process_is_frozen_and_continued_and_killed_without_the_loss_of_an_event(self):
        done = int(self.number("done").inner_text())
        self.break_service("Reservation API", "slow")
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
        self.repair_service("Reservation API")
        self.expect_all_finished()
        expect(self.number("done")).to_have_text(str(done + 31))


class Violations(ConsoleTest):
    def test_a_service_that_does_not_do_what_it_says_violates_an_invariant(self):
        self.break_service("Inventory", "lies", calls=1)
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
        expect(self.page.locator(".invariants li.waiting")).to_have_text([re.compile("No event is lost")])
        self.purge_queue()
        expect(self.page.locator(".invariants li.violated")).to_have_text([re.compile("No event is lost")])

    def purge_queue(self):
        url = self.local.queue_url()
        # Moto recognises from the signature that a request is for SQS.
        signature = "AWS4-HMAC-SHA256 Credential=test/20261126/ap-northeast-2/sqs/aws4_request"
        query = urllib.parse.urlencode({"Action": "PurgeQueue", "QueueUrl": url}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, query, {"Authorization": signature})) as reply:
            self.assertEqual(reply.status, 200)


if __name__ == "__main__":
    unittest.main()
