"""The dashboard and the saved queries use existing metrics and log fields, and evaluate them correctly."""

import json
import re
import unittest
from pathlib import Path

from template import SERVICES, Stack

OWN = "TrafficTacos/ReservationWorker"
# The worker's metrics with their sets of dimensions: contract section 8, and the totals that the alarms need.
# tests/suite/template.rs compares this list with the metrics that the worker emits.
EMITTED = json.loads(Path(__file__).with_name("metrics.json").read_text())
# The metrics of AWS services that the template uses, from the documentation of each service.
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
    "AWS/Events": {
        ("EventBusName", "RuleName"): {"Invocations", "FailedInvocations", "InvocationsFailedToBeSentToDlq"},
    },
    "AWS/Scheduler": {("ScheduleGroup",): {"InvocationDroppedCount"}},
    "AWS/Logs": {("LogGroupName",): {"IncomingBytes"}},
}
# The fields of a log line, and @timestamp, which CloudWatch Logs adds. tests/suite/logs.rs compares the list
# with the fields that the worker logs.
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
            previous = []
            for metric in widget["properties"].get("metrics", []):
                if isinstance(metric[0], dict):
                    expression = metric[0]["expression"]
                    found = searches(expression)
                    self.assertEqual(len(found), expression.count("SEARCH("))
                    for namespace, dimensions, name in found:
                        self.assert_exists(namespace, name, dimensions)
                        seen.add(name)
                else:
                    # A dot repeats the value at the same position of the previous metric.
                    values = [value for value in metric if isinstance(value, str)]
                    previous = [previous[n] if value == "." else value for n, value in enumerate(values)]
                    self.assert_exists(previous[0], previous[1], previous[2::2])
                    seen.add(previous[1])
        self.assertEqual(set(EMITTED) - seen, set(), "emitted but not shown")

    def test_each_label_matches_its_metric(self):
        queues = {
            "waiting": "EventQueue",
            "oldest visible message": "EventQueue",
            "messages received": "EventQueue",
            "sent to the queue": "EventQueue",
            "dead letters": "DeadLetterQueue",
            "undelivered": "UndeliveredQueue",
            "unmatched": "UnmatchedQueue",
        }
        lines = [line for widget in self.widgets for line in widget["properties"].get("metrics", [])]
        lines = [(line, line[-1]) for line in lines if isinstance(line[-1], dict) and "label" in line[-1]]
        for line, options in lines:
            if re.fullmatch(r"p\d\d", options["label"]) and "stat" in options:
                self.assertEqual(options["stat"], options["label"])
            if line[0] == "AWS/SQS":
                self.assertEqual(line[3], f"{queues.pop(options['label'])}.QueueName")
        self.assertEqual(queues, {}, "not shown")
        (expression,) = [o["expression"] for _, o in lines if o["label"] == "GB-seconds"]
        # 10 seconds at the default memory size of 256 MB.
        self.assertEqual(eval(expression, {}, {"billed": 10_000}), 2.5)

    def test_every_alarm_is_shown(self):
        shown = self.widgets[0]["properties"]["alarms"]
        alarms = [*self.alarms, *self.stack.of_type("CloudWatch::CompositeAlarm")]
        self.assertEqual(sorted(shown), sorted(f"{alarm}.Arn" for alarm in alarms))

    def test_metric_ids_are_unique_and_widgets_do_not_overlap(self):
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
    """The searches in a metric expression, each as namespace, dimensions and metric name."""
    found = re.findall(r"SEARCH\('\{\"([^\"]+)\"((?:,\w+)*)\} MetricName=\"(\w+)\"'", expression)
    return [(namespace, dimensions.split(",")[1:], name) for namespace, dimensions, name in found]


class Queries(Telemetry):
    def test_they_use_existing_log_fields(self):
        queries = self.stack.of_type("Logs::QueryDefinition")
        self.assertEqual(len(queries), 4)
        for query in queries.values():
            self.assertEqual(query["LogGroupNames"], ["WorkerLogs"])
            text = re.sub(r'"[^"]*"', "", query["QueryString"])
            aliases = set(re.findall(r"\bas (\w+)", text))
            for percent, name in re.findall(r"pct\(duration_ms, (\d+)\) as p(\d+)", text):
                self.assertEqual(percent, name)
            words = set(re.findall(r"@?\b[a-z]\w*(?![\w(])", text))
            grammar = {"fields", "filter", "stats", "sort", "limit", "by", "as", "in", "and", "desc", "asc", "5m"}
            self.assertEqual(words - aliases - grammar - {"0", "50", "95"} - LOG_FIELDS, set())

    def test_they_exclude_lines_in_the_embedded_metric_format(self):
        # Such a line has the dimensions of its metrics as fields. The filter must require another field.
        dimensions = {name for sets in EMITTED.values() for names in sets for name in names}
        for name, query in self.stack.of_type("Logs::QueryDefinition").items():
            filters = [part for part in query["QueryString"].split("|") if part.strip().startswith("filter")]
            required = set(re.findall(r"\w+", re.sub(r'"[^"]*"', "", " ".join(filters)))) & LOG_FIELDS
            self.assertTrue(required - dimensions - {"timestamp", "level", "message", "request_id"}, name)


if __name__ == "__main__":
    unittest.main()
