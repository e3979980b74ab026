"""The table of the monthly cost in docs/operations.md follows from these prices and assumptions.

WRITE_DOCS=1 writes the table."""

import os
import re
import unittest

from template import ROOT, SERVICES, Stack

RUNBOOK = ROOT / "docs/operations.md"
MONTH = 30 * 24 * 3600  # seconds
MILLION, GB = 1e6, 1e9

# List prices of us-east-1 in US dollars, without free tiers and discounts. The runbook names their sources and dates.
LAMBDA_REQUEST = 0.20 / MILLION
LAMBDA_GB_SECOND = 0.0000133334  # arm64
SQS_REQUEST = 0.40 / MILLION
SQS_FAIR = 0.10 / MILLION  # added to each request for a message with a message group on a standard queue
EVENT = 1.00 / MILLION
SCHEDULE = 1.00 / MILLION
ARCHIVE_GB, STORED_GB = 0.10, 0.023
LOG_GB = 0.50
TRACE = 5.00 / MILLION
METRIC, METRIC_REQUEST = 0.30, 0.01 / 1000
ALARM_METRIC, COMPOSITE_ALARM, DASHBOARD = 0.10, 0.50, 3.00

# Assumptions: a batch takes 100 ms, half of the events are expiries, 5 % of the invocations are traced.
BATCH_SECONDS, EXPIRIES, TRACED = 0.1, 0.5, 0.05
GB_OF_MEMORY = 256 / 1024
INIT_SECONDS, PROCESS_SECONDS = 0.1, 2 * 3600  # an init, and how long a process lives
EVENT_BYTES, LOG_BYTES_PER_RECORD, LOG_BYTES_PER_INVOCATION = 600, 450, 600
IDLE_RECEIVES = 5 * MONTH / 20  # five long polls of 20 s
ARCHIVE_DAYS = 7
HEARTBEATS = MONTH / 60
# Events per second, records in a batch, and custom metrics that get data.
SCENARIOS = ((0, 1, 13), (10, 1, 84), (1000, 10, 84))


def cost(rate, batch, metrics):
    """The cost of a month by row, in dollars."""
    stack = Stack(SERVICES)
    events = rate * MONTH
    # Two rules forward each heartbeat to a standard queue.
    records = events + 2 * HEARTBEATS
    invocations = events / batch + 2 * HEARTBEATS
    processes = max(1, rate * BATCH_SECONDS / batch)
    inits = processes * MONTH / PROCESS_SECONDS
    requests_per_record = 1 + 2 / batch
    archived = (events + HEARTBEATS) * EVENT_BYTES / GB
    sent_metrics = min(invocations, processes * MONTH / 10)
    alarms = stack.of_type("CloudWatch::Alarm").values()
    alarm_metrics = sum(max(1, sum("MetricStat" in m for m in alarm.get("Metrics", []))) for alarm in alarms)
    composites = len(stack.of_type("CloudWatch::CompositeAlarm"))
    return {
        "EventBridge: events": (events + HEARTBEATS) * EVENT,
        "EventBridge: archive of 7 days": archived * (ARCHIVE_GB + STORED_GB * ARCHIVE_DAYS / 30),
        "Scheduler: heartbeats": HEARTBEATS * SCHEDULE,
        "SQS: requests": (records * requests_per_record + (IDLE_RECEIVES if rate == 0 else 0)) * SQS_REQUEST,
        "SQS: fair queue": events * EXPIRIES * requests_per_record * SQS_FAIR,
        "Lambda: requests": invocations * LAMBDA_REQUEST,
        "Lambda: duration": invocations * BATCH_SECONDS * GB_OF_MEMORY * LAMBDA_GB_SECOND,
        "Lambda: init": inits * INIT_SECONDS * GB_OF_MEMORY * LAMBDA_GB_SECOND,
        "Logs": (records * LOG_BYTES_PER_RECORD + invocations * LOG_BYTES_PER_INVOCATION) / GB * LOG_GB,
        "X-Ray": invocations * TRACED * TRACE,
        "Custom metrics": metrics * METRIC + sent_metrics * METRIC_REQUEST,
        "Alarms and dashboard": alarm_metrics * ALARM_METRIC + composites * COMPOSITE_ALARM + DASHBOARD,
    }


def table():
    columns = [cost(*scenario) for scenario in SCENARIOS]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    rows.append(["**sum**", *(sum(column.values()) for column in columns)])
    lines = ["| $ per month | 0 events/s | 10 events/s, b = 1 | 1,000 events/s, b = 10 |", "|---|--:|--:|--:|"]
    lines += ["| " + " | ".join([name, *(f"{value:,.2f}" for value in values)]) + " |" for name, *values in rows]
    return "\n".join(lines)


class Cost(unittest.TestCase):
    def test_the_table_in_the_runbook_is_up_to_date(self):
        pattern = r"(<!-- generated: cost -->\n)(.*?)(\n<!-- end generated -->)"
        text = RUNBOOK.read_text()
        ((_, written, _),) = re.findall(pattern, text, re.DOTALL)
        if "WRITE_DOCS" in os.environ:
            RUNBOOK.write_text(re.sub(pattern, lambda match: match[1] + table() + match[3], text, flags=re.DOTALL))
        else:
            self.assertEqual(written, table(), "write it with WRITE_DOCS=1")

    def test_the_runbook_names_the_assumptions(self):
        text = " ".join(RUNBOOK.read_text().split())
        for assumption in ("100 ms per batch", "half of the events are expiries", "5 % of the invocations are traced"):
            self.assertIn(assumption, text)


if __name__ == "__main__":
    unittest.main()
