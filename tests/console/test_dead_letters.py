"""Dead letters that are redriven and deleted in the console."""

import unittest

from console import ConsoleTest
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
        expect(letter.locator(".advice")).to_contain_text("Find the rejected request")
        self.page.get_by_role("button", name="What if?").click()
        building = self.page.get_by_text("the tool is built, which takes some minutes")
        expect(building).to_be_visible()
        prediction = letter.locator(".prediction")
        expect(prediction).to_have_text(
            "If it is redriven now: would fail. reservation API: 404 RESERVATION_NOT_FOUND", timeout=300_000)
        expect(building).to_be_hidden()

        self.go_to("Live")
        self.page.get_by_text("Write an event").click()
        self.page.get_by_role("button", name="Create the hold").click()
        expect(self.page.get_by_role("status")).to_have_text("The hold rsv_mine was created.")
        self.go_to("Dead letters")
        self.page.get_by_role("button", name="What if?").click()
        # The tool knows from the log that the reservation did not exist.
        expect(prediction).to_contain_text("If it is redriven now: would succeed. the reservation is on hold")
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
        expect(self.number("dead")).to_have_text("2", timeout=300_000)
        self.go_to("Dead letters")
        expect(self.page.locator(".letter")).to_have_count(2)
        self.page.get_by_role("button", name="Redrive all").click()
        question = self.page.get_by_role(
            "button", name="Really redrive 2 messages? 1 needs a refund and not a redrive.")
        question.click()
        expect(self.page.get_by_role("status")).to_have_text("2 messages moved back to the queue.")

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


if __name__ == "__main__":
    unittest.main()
