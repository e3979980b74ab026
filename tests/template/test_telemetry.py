"""Dashboard and saved queries speak of what exists, and ask it the right question."""

import json
import re
import unittest
from pathlib import Path

from stack import SERVICES, Stack

OWN = "TrafficTacos/ReservationWorker"
# Contract section 8, and the roll-ups that alarms need: the sets of dimensions of each metric.
EMITTED = json.loads(Path(__file__).with_name("metrics.json").read_text())
# https://docs.aws.amazon.com: "Available CloudWatch metrics" of each service.
AWS = {
    "AWS/Lambda": {
        ("FunctionName",): {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"},
        ("FunctionName", "Resource", "ExecutedVersion"): {"Errors"},
        ("EventSourceMappingUUID",): {"PolledEventCount", "InvokedEventCount", "DeletedEventCount"},
    },
    "AWS/SQS": {
        ("QueueName",): {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfEmptyReceives",
            "NumberOfMessagesReceived",
            "NumberOfMessagesSent",
        },
    },
    "AWS/Events": {("EventBusName", "RuleName"): {"FailedInvocations", "InvocationsFailedToBeSentToDlq"}},
    "AWS/Scheduler": {("ScheduleGroup",): {"InvocationDroppedCount"}},
    "AWS/Logs": {("LogGroupName",): {"IncomingBytes"}},
}
# Those of a record's line, which a Rust test holds to this list, and CloudWatch Logs' own.
LOG_FIELDS = {*json.loads(Path(__file__).with_name("log_fields.json").read_text()), "@timestamp"}


class Telemetry(unittest.TestCase):
    def setUp(self):
        self.stack = Stack(SERVICES)
        self.alarms = self.stack.of_type("CloudWatch::Alarm")
        self.widgets = json.loads(self.stack["Dashboard"]["DashboardBody"])["widgets"]

    def assert_exists(self, namespace, metric, dimensions):
        if namespace == OWN:
            self.assertIn(list(dimensions), EMITTED[metric], metric)
        else:
            self.assertIn(metric, AWS[namespace][tuple(dimensions)])


class Dashboard(Telemetry):
    def test_every_metric_exists(self):
        seen = set()
        for widget in self.widgets:
            above = []
            for metric in widget["properties"].get("metrics", []):
                if isinstance(metric[0], dict):
                    expression = metric[0]["expression"]
                    found = searches(expression)
                    self.assertEqual(len(found), expression.count("SEARCH("))
                    for namespace, dimensions, name in found:
                        self.assert_exists(namespace, name, dimensions)
                        seen.add(name)
                else:
                    # A dot repeats what stands above it.
                    named = [value for value in metric if isinstance(value, str)]
                    above = [above[at] if value == "." else value for at, value in enumerate(named)]
                    self.assert_exists(above[0], above[1], above[2::2])
                    seen.add(above[1])
        self.assertEqual(set(EMITTED) - seen, set(), "emitted and not shown")

    def test_a_line_is_what_its_label_says(self):
        of_queue = {
            "waiting": "EventQueue",
            "oldest visible message": "EventQueue",
            "messages received": "EventQueue",
            "sent to the queue": "EventQueue",
            "dead letters": "DeadLetterQueue",
            "undelivered": "UndeliveredQueue",
        }
        lines = [line for widget in self.widgets for line in widget["properties"].get("metrics", [])]
        lines = [(line, line[-1]) for line in lines if isinstance(line[-1], dict) and "label" in line[-1]]
        for line, options in lines:
            if re.fullmatch(r"p\d\d", options["label"]) and "stat" in options:
                self.assertEqual(options["stat"], options["label"])
            if line[0] == "AWS/SQS":
                self.assertEqual(line[3], f"{of_queue.pop(options['label'])}.QueueName")
        self.assertEqual(of_queue, {}, "not shown")
        (expression,) = [o["expression"] for _, o in lines if o["label"] == "GB-seconds"]
        # Ten seconds at the default's quarter of a GB.
        self.assertEqual(eval(expression, {}, {"billed": 10_000}), 2.5)

    def test_it_shows_every_alarm(self):
        shown = self.widgets[0]["properties"]["alarms"]
        self.assertEqual(sorted(shown), sorted(f"{alarm}.Arn" for alarm in self.alarms))

    def test_ids_are_used_once_and_widgets_do_not_overlap(self):
        cells = set()
        for widget in self.widgets:
            options = [value for metric in widget["properties"].get("metrics", []) for value in metric]
            ids = [value["id"] for value in options if isinstance(value, dict) and "id" in value]
            self.assertEqual(len(ids), len(set(ids)))
            for x in range(widget["x"], widget["x"] + widget["width"]):
                for y in range(widget["y"], widget["y"] + widget["height"]):
                    self.assertNotIn((x, y), cells)
                    self.assertLess(x, 24)
                    cells.add((x, y))


def searches(expression):
    found = re.findall(r"SEARCH\('\{\"([^\"]+)\"((?:,\w+)*)\} MetricName=\"(\w+)\"'", expression)
    return [(namespace, dimensions.split(",")[1:], name) for namespace, dimensions, name in found]


class Queries(Telemetry):
    def test_they_ask_for_fields_that_the_log_has(self):
        queries = self.stack.of_type("Logs::QueryDefinition")
        self.assertEqual(len(queries), 4)
        for query in queries.values():
            self.assertEqual(query["LogGroupNames"], ["WorkerLogs"])
            text = re.sub(r'"[^"]*"', "", query["QueryString"])
            made = set(re.findall(r"\bas (\w+)", text))
            for percent, name in re.findall(r"pct\(duration_ms, (\d+)\) as p(\d+)", text):
                self.assertEqual(percent, name)
            words = set(re.findall(r"@?\b[a-z]\w*(?![\w(])", text))
            grammar = {"fields", "filter", "stats", "sort", "limit", "by", "as", "in", "and", "desc", "asc", "5m"}
            self.assertEqual(words - made - grammar - {"0", "50", "95"} - LOG_FIELDS, set())

    def test_they_take_no_metrics_line_for_a_records(self):
        # A line of embedded metrics has their dimensions as fields.
        dimensions = {name for sets in EMITTED.values() for names in sets for name in names}
        for name, query in self.stack.of_type("Logs::QueryDefinition").items():
            filters = [part for part in query["QueryString"].split("|") if part.strip().startswith("filter")]
            asked = set(re.findall(r"\w+", re.sub(r'"[^"]*"', "", " ".join(filters)))) & LOG_FIELDS
            self.assertTrue(asked - dimensions - {"timestamp", "level", "message", "request_id"}, name)


if __name__ == "__main__":
    unittest.main()
