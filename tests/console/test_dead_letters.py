"""Dead letters that are redriven and deleted in the console."""

import html
import json
import re
import unittest

from console import ConsoleTest, Local
from playwright.sync_api import expect


class DeadLetters(ConsoleTest):
    def test_a_letter_succeeds_when_it_is_redriven_after_its_cause_was_removed(self):
        # The reservation does not exist.
        self.page.get_by_text("Write an event").click()
        self.page.get_by_role("button", name="Send the event").click()
        expect(self.number("dead")).to_have_text("1")
        self.go_to("Dead letters")
        letter = self.page.locator(".letter")
        expect(letter.locator(".reason-code")).to_have_text("reservation_api_rejected")
        # The commands of the advice name this message.
        message_id = letter.get_attribute("data-id")
        expect(letter.locator(".advice")).to_contain_text(f"--reason reservation_api_rejected --message {message_id}, then dead-letters apply")
        # The request is held until the page has shown its progress.
        what_if, held = "**/api/dead-letters/what-if", []
        self.page.route(what_if, lambda route: held.append(route))
        self.page.get_by_role("button", name="What if?").click()
        building = self.page.get_by_text("The first run builds the tool, which takes some minutes.")
        expect(building).to_have_text(re.compile(r"^dead-letters list --what-if has been running for \d+ s\."))
        held.pop().continue_()
        self.page.unroute(what_if)
        prediction = letter.locator(".prediction")
        expect(prediction).to_have_text(
            "If it is redriven now: would fail; reservation API: 404 RESERVATION_NOT_FOUND", timeout=300_000)
        expect(building).to_be_hidden()

        self.go_to("Live")
        self.page.get_by_role("button", name="Create the hold").click()
        expect(self.page.get_by_role("status")).to_have_text("The hold rsv_mine was created.")
        self.go_to("Dead letters")
        self.page.get_by_role("button", name="What if?").click()
        # The tool knows from the log that the reservation did not exist.
        expect(prediction).to_contain_text("If it is redriven now: would succeed; the reservation is on hold")
        letter.get_by_role("button", name="Redrive").click()
        expect(self.page.get_by_role("status")).to_have_text("1 message moved back to the queue.")
        expect(letter).to_have_count(0)
        self.go_to("Live")
        expect(self.rows(badge="success", id="rsv_mine")).to_have_count(1)
        expect(self.number("dead")).to_have_text("0")
        self.expect_invariants_to_hold()

    def test_all_letters_are_redriven_after_a_question_that_names_the_refunds(self):
        self.page.get_by_label("Sample", exact=True).select_option("payment-for-expired")
        self.page.get_by_role("button", name="Send", exact=True).click()
        self.send_burst(0, poison=1)
        self.pay_for_a_cancelled_reservation()
        expect(self.number("dead")).to_have_text("3", timeout=300_000)
        self.go_to("Dead letters")
        expect(self.page.locator(".letter")).to_have_count(3)
        self.page.get_by_role("button", name="Redrive all").click()
        question = self.page.get_by_role("button", name="Really redrive 3 messages? 2 need a refund and not a redrive. "
                                         "1 has a body that the function does not understand, and would fail again.")
        expect(question).to_be_visible()
        # The next button moves when the first one has its usual text again, which must not be before the click.
        self.page.get_by_role("button", name="Delete all").click(delay=200)
        expect(self.page.get_by_role("button", name="Redrive all")).to_be_visible()
        expect(self.page.get_by_role(
            "button", name="Really delete 3 messages? 2 need a refund. Delete only after the refund.")).to_be_visible()
        paid = self.page.locator(".letter", has_text="paid_but_cancelled")
        paid.get_by_role("button", name="Delete").click()
        expect(paid.get_by_role("button", name="Really delete it? Only after the refund.")).to_be_visible()
        self.page.get_by_role("button", name="Redrive all").press("Enter")
        # Without the mouse, the first button has its usual text again, too.
        expect(paid.get_by_role("button", name="Delete")).to_have_text("Delete")
        question.click()
        expect(self.page.get_by_role("status")).to_have_text("3 messages moved back to the queue.")

    def pay_for_a_cancelled_reservation(self):
        hold = {"reservation_id": "rsv_cancelled", "event_id": "evt_mine", "seat_ids": ["Z-9"]}
        self.assertEqual(self.local.request("/api/holds", "POST", hold)[0], 200)
        for kind, outcome in [("payment.failed", "success"), ("payment.approved", "failed")]:
            event = json.dumps({"type": kind, "detail": {**hold, "payment_intent_id": "pay_mine"}})
            self.assertEqual(self.local.request("/api/messages", "POST", {"body": event, "copies": 1})[0], 200)
            expect(self.rows(badge=outcome, id="rsv_cancelled").first).to_be_visible()

    def test_the_question_counts_at_least_the_refunds_of_the_listed_letters(self):
        record = {"reason_code": "paid_but_expired", "reservation_id": "rsv_1", "event_type": "payment.approved",
                  "attempt": 5, "reason": "paid but expired: refund due", "advice": "Refund the payment."}
        listed = {"message_id": "m", "body": "{}", "receives": 5, "record": record}
        self.page.route("**/api/dead-letters", lambda route: route.fulfill(
            json={"total": 201, "invisible": 0, "gone": 0, "letters": [listed]}))
        self.go_to("Dead letters")
        expect(self.page.get_by_text("1 of 201 messages.")).to_be_visible()
        self.page.get_by_role("button", name="Redrive all").click()
        expect(self.page.get_by_role(
            "button", name="Really redrive 201 messages? At least 1 needs a refund and not a redrive.")).to_be_visible()

    def test_a_letter_that_the_tool_has_not_received_has_no_prediction(self):
        why = "paid but expired: refund due"
        record = {"reason_code": "paid_but_expired", "event_type": "payment.approved", "attempt": 5, "reason": why}
        letters = [{"message_id": id, "body": "{}", "receives": 5, "record": record | {"reservation_id": id}} for id in "ab"]
        predictions = [{"message_id": "b", "what_if": "refund due", "what_if_why": why}]
        self.page.route("**/api/dead-letters", lambda route: route.fulfill(
            json={"total": 2, "invisible": 0, "gone": 0, "letters": letters}))
        held = []
        self.page.route("**/api/dead-letters/what-if", lambda route: held.append(route))
        self.go_to("Dead letters")
        self.page.get_by_role("button", name="What if?").click()
        # It continues while another view is shown.
        self.go_to("Live")
        self.go_to("Dead letters")
        expect(self.page.get_by_text(re.compile("^dead-letters list --what-if has been running for"))).to_be_visible()
        self.assertEqual(len(held), 1)
        held.pop().fulfill(json=predictions)
        expect(self.page.get_by_role("status")).to_have_text("There is a prediction for 1 of 2 messages.")
        expect(self.page.locator(".letter .prediction")).to_have_text([
            "No prediction: dead-letters has not received this message. Press What if? again when nothing else reads the queue.",
            f"If it is redriven now: {why}"])
        letter = self.page.locator(".letter").first
        letter.get_by_role("button", name="Redrive").click()
        question = letter.get_by_role("button", name="Really redrive it? It needs a refund and not a redrive.")
        expect(question).to_be_visible()
        question.press("Escape")
        expect(letter.get_by_role("button", name="Redrive", exact=True)).to_be_visible()

    def test_the_view_says_that_the_letters_are_being_read(self):
        held = []
        self.page.route("**/api/dead-letters", lambda route: held.append(route))
        self.go_to("Dead letters")
        summary = self.page.locator(".summary")
        expect(summary).to_have_text("The dead letters are being read …")
        held.pop().fulfill(json={"total": 0, "invisible": 0, "gone": 0, "letters": []})
        expect(summary).to_have_text("0 messages.")

    def test_a_letter_is_deleted_after_a_confirmation(self):
        self.send_burst(0, poison=2)
        expect(self.number("dead")).to_have_text("2")
        self.go_to("Dead letters")
        letters = self.page.locator(".letter")
        expect(letters).to_have_count(2)
        delete = letters.first.get_by_role("button", name="elete")
        delete.click()
        expect(delete).to_have_text("Really delete it?")
        expect(letters).to_have_count(2)
        delete.click()
        expect(self.page.get_by_role("status")).to_have_text("1 message deleted.")
        expect(letters).to_have_count(1)

        delete_all = self.page.get_by_role("button", name="Delete all")
        delete_all.click()
        self.page.get_by_role("button", name="Really delete 1 message?").click()
        expect(letters).to_have_count(0)
        self.go_to("Live")
        expect(self.number("dead")).to_have_text("0")
        self.expect_invariants_to_hold()


class DeletedElsewhere(ConsoleTest):
    def test_letters_that_are_deleted_outside_of_the_console_are_not_lost(self):
        self.send_burst(0, poison=3)
        expect(self.number("dead")).to_have_text("3")
        self.expect_invariants_to_hold()
        queue = self.local.queue_url("-dlq")
        message = self.local.sqs("ReceiveMessage", queue)
        handle = html.unescape(re.search("<ReceiptHandle>(.*)</ReceiptHandle>", message)[1])
        self.local.sqs("DeleteMessage", queue, ReceiptHandle=handle)
        expect(self.number("dead")).to_have_text("2")
        self.expect_invariants_to_hold()
        self.local.sqs("PurgeQueue", queue)
        expect(self.number("dead")).to_have_text("0")
        # A later observation of the queue finds the same.
        self.send_burst(0, poison=1)
        expect(self.number("dead")).to_have_text("1")
        expect(self.invariant("No event is lost")).to_have_text("✓No event is lost: true")
        self.expect_invariants_to_hold()


class ReadElsewhere(ConsoleTest):
    INVISIBLE = "invisible now, because something else is reading the queue, for example dead-letters."

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # This one uses the SQS of the first one, so it does not know what others do with its queues.
        endpoint = re.search(r"SQS endpoint +(\S+)", cls.local.output())[1]
        cls.other = Local(options=["--endpoint", endpoint])
        cls.addClassCleanup(lambda: cls.other.stop())

    def test_letters_that_something_else_has_received_stay_with_their_predictions_until_they_are_removed(self):
        handles, summary = self.receive_all(self.local)
        self.remove(self.local, handles.pop())
        expect(summary).to_have_text(f"2 messages. 2 messages are {self.INVISIBLE}")
        expect(self.page.locator(".letter")).to_have_count(2)
        self.remove(self.local, handles.pop())
        expect(summary).to_have_text(f"1 message. 1 message is {self.INVISIBLE}")
        letter = self.page.locator(".letter")
        expect(letter).to_have_count(1)
        expect(letter.locator(".prediction")).to_have_text("If it is redriven now: would fail; always")
        letter.get_by_role("button", name="Redrive").click()
        expect(self.page.get_by_role("status")).to_have_text(
            "Nothing was done: the messages are invisible or gone. Try it again later.")
        self.show(self.local, handles.pop())
        expect(summary).to_have_text("1 message.")
        expect(letter.locator(".prediction")).to_have_text("If it is redriven now: would fail; always")

    def test_with_another_sqs_the_summary_says_how_many_messages_are_gone_until_the_others_are_visible(self):
        self.page.context.close()
        self.page = self.open_page(url=self.other.url)
        handles, summary = self.receive_all(self.other)
        self.remove(self.other, handles.pop())
        expect(summary).to_have_text(f"2 messages. 2 messages are {self.INVISIBLE} "
                                     "1 message is gone, but may still be listed until the others are visible again.")
        expect(self.page.locator(".letter")).to_have_count(3)
        # The console must not see the new letter before it is invisible.
        self.go_to("Live")
        sent = self.other.sqs("SendMessage", self.other.queue_url("-dlq"), MessageBody="new")
        handles.append(self.receive(self.other).pop())
        expect(self.number("dead")).to_have_text("3")
        self.go_to("Dead letters")
        expect(summary).to_have_text(f"3 messages. 3 messages are {self.INVISIBLE}")
        for handle in handles:
            self.show(self.other, handle)
        expect(summary).to_have_text("3 messages.")
        new = re.search("<MessageId>(.*?)</MessageId>", sent)[1]
        expect(self.page.locator(f".letter[data-id='{new}']")).to_have_count(1)
        expect(self.page.locator(".letter")).to_have_count(3)

    def receive_all(self, local):
        """Three dead letters with predictions, which are received. Returns their handles, and the summary of the view."""
        self.send_burst(0, poison=3)
        expect(self.number("dead")).to_have_text("3")
        self.go_to("Dead letters")
        letters = self.page.locator(".letter")
        expect(letters).to_have_count(3)
        predictions = [{"message_id": letter.get_attribute("data-id"), "what_if": "would fail", "what_if_why": "always"}
                       for letter in letters.all()]
        self.page.route("**/api/dead-letters/what-if", lambda route: route.fulfill(json=predictions))
        self.page.get_by_role("button", name="What if?").click()
        expect(self.page.get_by_text("would fail; always")).to_have_count(3)
        handles = []
        while len(handles) < 3:
            handles += self.receive(local)
        summary = self.page.locator(".summary")
        expect(summary).to_have_text(f"3 messages. 3 messages are {self.INVISIBLE}")
        expect(self.page.get_by_text("would fail; always")).to_have_count(3)
        return handles, summary

    def receive(self, local):
        received = local.sqs("ReceiveMessage", local.queue_url("-dlq"), MaxNumberOfMessages=10, VisibilityTimeout=600)
        return list(map(html.unescape, re.findall("<ReceiptHandle>(.*?)</ReceiptHandle>", received)))

    def remove(self, local, handle):
        local.sqs("DeleteMessage", local.queue_url("-dlq"), ReceiptHandle=handle)

    def show(self, local, handle):
        local.sqs("ChangeMessageVisibility", local.queue_url("-dlq"), ReceiptHandle=handle, VisibilityTimeout=0)


if __name__ == "__main__":
    unittest.main()
