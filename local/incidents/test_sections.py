"""Runs the commands of the section of each alarm, in order, from the state in which the alarm rings until it is over.

WRITE_DOCS=1 writes the table of the results into docs/incidents.md."""

import os
import re
import unittest

from account import QUEUES, SERVICES, STACK, Stack
from rehearsal import Rehearsal
from runbook import TEXT, blocks
from states import STATES, STUBS
from template import ROOT

DOCUMENT = ROOT / "docs/incidents.md"
HEALTHY, ALARM_LIMIT, END_LIMIT = 6, 12, 130  # minutes


class Sections(unittest.TestCase):
    maxDiff = None

    def test_each_alarm_has_a_section_and_a_state(self):
        stack = Stack(SERVICES)
        alarms = stack.of_type("CloudWatch::Alarm") | stack.of_type("CloudWatch::CompositeAlarm")
        names = {alarm["AlarmName"].removeprefix("worker-") for alarm in alarms.values()}
        self.assertEqual(set(STATES), names)
        self.assertEqual(set(re.findall(r"^### `(.*?)`", TEXT, re.MULTILINE)), names)

    def test_the_section_of_each_alarm_ends_it(self):
        called, minutes = set(), {}
        for alarm, state in STATES.items():
            with self.subTest(alarm):
                rehearsal = Rehearsal(state, STUBS)
                try:
                    minutes[alarm] = self.follow(alarm, state, rehearsal)
                finally:
                    rehearsal.stop()
                called |= set(rehearsal.calls)
        self.assertLessEqual(set(STUBS), called)
        self.check_document(minutes)

    def follow(self, alarm, state, rehearsal):
        """Returns the minutes from the beginning to the alarm, and from the last command to the end of all alarms."""
        rehearsal.pass_minutes(HEALTHY, lambda: False)
        self.assertEqual(rehearsal.alarms.rung, [], "an alarm rings without a cause")
        state.begin(rehearsal)
        rehearsal.is_broken = True
        self.assertTrue(rehearsal.pass_minutes(ALARM_LIMIT, lambda: rehearsal.rings(alarm)), "the alarm does not ring")
        rang = rehearsal.minute
        self.assertIn(f"{STACK}-{alarm}\t", rehearsal.shell.run("ringing"))
        if blocks(alarm):
            printed = rehearsal.shell.step(alarm)
            for text in state.shows:
                self.assertIn(text, printed)
        for step in state.then:
            rehearsal.shell.step(step)
        rehearsal.section_was_followed = True
        is_silent = rehearsal.pass_minutes(END_LIMIT, lambda: not rehearsal.alarms.ringing)
        self.assertTrue(is_silent, f"still ringing: {set(rehearsal.alarms.ringing)}")
        self.assertEqual(rehearsal.shell.run("ringing"), "")
        hidden = {queue for queue in QUEUES if rehearsal.messages(queue)}
        self.assertEqual(hidden, set(), "an alarm is silent because messages are hidden")
        return rang - HEALTHY, rehearsal.minute - rang

    def check_document(self, minutes):
        rows = ["| alarm | state | rings after | all are over after | ended by | on paper |", "|---|---|--:|--:|---|---|"]
        for alarm, (rings, over) in minutes.items():
            state = STATES[alarm]
            by = "people" if state.is_ended_by_people else "commands"
            rows.append(f"| `{alarm}` | {state.what} | {rings} min | {over} min | {by} | {state.on_paper} |")
        table = "\n".join(rows)
        pattern = r"(<!-- generated: sections -->\n)(.*?)(\n<!-- end generated -->)"
        text = DOCUMENT.read_text()
        ((_, written, _),) = re.findall(pattern, text, re.DOTALL)
        if "WRITE_DOCS" in os.environ:
            DOCUMENT.write_text(re.sub(pattern, lambda match: match[1] + table + match[3], text, flags=re.DOTALL))
        else:
            self.assertEqual(written, table, "write it with WRITE_DOCS=1")

    def test_the_document_names_each_stub(self):
        for call in STUBS:
            self.assertIn(f"`{call.replace('_', '-')}`", DOCUMENT.read_text())


if __name__ == "__main__":
    unittest.main()
