"""Stages two incidents, each of which takes less than a minute of real time, and checks what evaluates the alarms and the log."""

import queue
import subprocess
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

import insights
from account import SERVICES, Stack
from alarms import Alarms, Metrics
from incident import end
from runbook import blocks
from scenarios import INCIDENTS

PROGRAM = Path(__file__).with_name("incident.py")
NAMESPACE = "TrafficTacos/ReservationWorker"


class Staged(unittest.TestCase):
    def test_the_script_of_each_incident_ends_it(self):
        # At the same time, because each mostly waits.
        runs = {
            name: subprocess.Popen([sys.executable, PROGRAM, name, "--script", *more], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for name, *more in (("poison", "--count", "20"), ("refunds",))
        }
        for name, run in runs.items():
            printed, _ = run.communicate()
            self.assertEqual(run.returncode, 0, f"{name}\n{printed}")
            self.assertIn("new-dead-letters notifies after", printed)


class End(unittest.TestCase):
    def test_the_alarms_are_not_said_to_be_over_while_one_rings(self):
        for ringing in ([], ["slow"]):
            said = []
            world = SimpleNamespace(
                alarms=SimpleNamespace(ringing=ringing, notified={}), minutes=queue.Queue(), began=0, say=said.append,
                wait=lambda condition, limit: condition(), since=lambda: 7, depth=lambda name: 0, log=list, inconsistent=list)
            problems = end(world, SimpleNamespace(ended=True, lasts=1))
            self.assertEqual(problems, [f"{name} still rings" for name in ringing])
            self.assertEqual("All alarms are over after 7 minutes." in said, not ringing)


class Sections(unittest.TestCase):
    def test_the_alarm_of_each_incident_exists_and_has_a_section_with_commands(self):
        stack = Stack(SERVICES)
        notifying = stack.of_type("CloudWatch::Alarm") | stack.of_type("CloudWatch::CompositeAlarm")
        names = {a["AlarmName"].removeprefix("worker-") for a in notifying.values() if "AlarmActions" in a}
        for incident in INCIDENTS.values():
            self.assertIn(incident.alarm, names)
            self.assertTrue(blocks(incident.alarm))


class Evaluation(unittest.TestCase):
    def setUp(self):
        self.metrics = Metrics(20)
        self.alarms = Alarms(Stack(SERVICES, named()), self.metrics)

    def evaluate(self, minutes, **outcomes):
        for minute in minutes:
            for outcome, count in outcomes.items():
                self.metrics.add(minute, NAMESPACE, "worker_events_total", {"outcome": outcome}, [(1, count)])
            self.alarms.evaluate(minute)
        return {name.removeprefix("worker-") for name in self.alarms.ringing} - {"heartbeat", "delivery"}

    def test_the_error_rate_rings_after_five_minutes_and_pages_after_the_wait_period(self):
        self.assertEqual(self.evaluate(range(4), success=90, retried=10), set())
        self.assertEqual(self.evaluate([4], success=90, retried=10), {"error-rate", "processing", "known-cause"})
        self.assertNotIn("worker-processing", self.alarms.notified)
        self.evaluate([5, 6], success=90, retried=10)
        self.assertEqual(self.alarms.notified["worker-processing"], 6)
        self.assertIn("error-rate", self.evaluate([7, 8], success=100), "five of the last seven minutes")
        self.assertEqual(self.evaluate([9], success=100), set())

    def test_the_misconfiguration_suppresses_the_page_of_the_error_rate(self):
        for minute in range(8):
            reason = {"reason": "inventory_denied"}
            self.metrics.add(minute, NAMESPACE, "worker_returned_total", reason, [(1, 5)])
            self.evaluate([minute], retried=5)
        self.assertEqual(self.alarms.notified["worker-misconfigured"], 0)
        self.assertIn("worker-processing", self.alarms.ringing)
        self.assertNotIn("worker-processing", self.alarms.notified)

    def test_missing_heartbeats_ring_after_five_minutes(self):
        for rule in ("ReservationEvents", "PaymentEvents"):
            dimensions = {"EventBusName": "ticket-reservation-events", "RuleName": f"{rule}.Arn[2]"}
            self.metrics.add(0, "AWS/Events", "Invocations", dimensions, [(1, 1)])
        self.metrics.add(0, NAMESPACE, "worker_heartbeat", {}, [(1, 1)])
        self.evaluate(range(5))
        self.assertNotIn("worker-heartbeat", self.alarms.ringing)
        self.evaluate([5])
        self.assertEqual(self.alarms.notified["worker-delivery"], 5)

    def test_times_are_compressed_and_the_threshold_is_not(self):
        for minute, age in enumerate([3.1, 3.1, 3.1, 2.9]):
            self.metrics.add(minute, NAMESPACE, "worker_event_age_seconds", {}, [(age, 1)])
            self.alarms.evaluate(minute)
            self.assertEqual("worker-oldest-event" in self.alarms.ringing, minute == 2)


def named():
    """The names of the alarms, to which the rules of the composite alarms refer."""
    stack = Stack(SERVICES)
    alarms = stack.of_type("CloudWatch::Alarm") | stack.of_type("CloudWatch::CompositeAlarm")
    names = {name: alarm["AlarmName"] for name, alarm in alarms.items()}
    return names | {f"{name}.Arn": f"arn:aws:cloudwatch:r:a:alarm:{full}" for name, full in names.items()}


class Queries(unittest.TestCase):
    LINES = [
        {"@message": "1", "outcome": "retried", "reason_code": "inventory_error", "attempt": 2, "message_id": "a"},
        {"@message": "2", "outcome": "retried", "reason_code": "inventory_error", "attempt": 1, "message_id": "b"},
        {"@message": "3", "message": "breaker opened", "service": "inventory"},
        {"@message": "4", "outcome": "success", "attempt": 1, "message_id": "c"},
    ]

    def test_the_language_of_the_runbook(self):
        for query, expected in {
            "filter ispresent(reason_code) | stats count(*) as records, max(attempt) by outcome, reason_code":
                [{"records": "2", "max(attempt)": "2", "outcome": "retried", "reason_code": "inventory_error"}],
            "filter message like /breaker/ | stats count(*) by message, service":
                [{"count(*)": "1", "message": "breaker opened", "service": "inventory"}],
            "filter attempt > 1 | fields message_id": [{"message_id": "a"}],
            'fields @message | filter message_id in ["a","b"] and ispresent(reason_code) | sort attempt desc':
                [{"@message": "1"}, {"@message": "2"}],
            'filter reason_code = "group_blocked"': [],
            "stats count(*) as records by outcome | sort records desc | limit 1": [{"records": "2", "outcome": "retried"}],
        }.items():
            self.assertEqual(insights.run(query, self.LINES), expected, query)


if __name__ == "__main__":
    unittest.main()
