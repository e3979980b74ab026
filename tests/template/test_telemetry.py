"""Alarms, dashboard and saved queries speak of what exists, and ask it the right question."""

import json
import re
import unittest
from pathlib import Path

import stack
from stack import ROOT, SERVICES, Stack

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
OUTCOMES = ["success", "superseded", "ignored", "retried", "deferred", "failed", "invalid_payload"]
LOG_FIELDS = {
    "event_type",
    "reservation_id",
    "event_id",
    "message_id",
    "attempt",
    "outcome",
    "reason",
    "reason_code",
    "advice",
    "duration_ms",
    "trace_id",
    "request_id",
    "@timestamp",
}


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

    def metrics(self, alarm):
        """Each metric that an alarm reads: namespace, name, dimensions, statistic."""
        if "Metrics" not in alarm:
            stats = [{**alarm, "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"]}]
        else:
            stats = [m["MetricStat"] for m in alarm["Metrics"] if "MetricStat" in m]
            stats = [{**stat["Metric"], "Stat": stat["Stat"]} for stat in stats]
        for stat in stats:
            dimensions = {d["Name"]: d["Value"] for d in stat.get("Dimensions", [])}
            yield stat["Namespace"], stat["MetricName"], dimensions, stat["Stat"]


class Alarms(Telemetry):
    def test_every_metric_exists(self):
        for alarm in self.alarms.values():
            metrics = list(self.metrics(alarm))
            self.assertTrue(1 <= len(metrics) <= 10, "an alarm takes ten metrics at most")
            for namespace, metric, dimensions, _ in metrics:
                self.assert_exists(namespace, metric, dimensions)

    def test_counts_are_added_up_and_levels_are_not(self):
        levels = {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateAgeOfOldestMessage",
            "ConcurrentExecutions",
        }
        levels |= {"Duration", "worker_event_age_seconds"}
        for name, alarm in self.alarms.items():
            for _, metric, _, statistic in self.metrics(alarm):
                # Redriven and moved messages are not counted as sent: it would not see the dead letters.
                self.assertNotEqual(metric, "NumberOfMessagesSent")
                expected = "Maximum" if metric in levels else "p95" if name == "LatencyAlarm" else "Sum"
                self.assertEqual(statistic, expected, name)

    def test_each_reports_both_ways_and_takes_silence_for_no_fault(self):
        for name, alarm in self.alarms.items():
            self.assertEqual(
                (alarm["AlarmActions"], alarm["OKActions"]), (["AlarmTopic"], ["AlarmTopic"]), name
            )
            self.assertEqual(alarm["TreatMissingData"], "notBreaching", name)

    def test_they_ring_when_the_go_workers_did(self):
        error_rate, latency = self.alarms["ErrorRateAlarm"], self.alarms["LatencyAlarm"]
        self.assertEqual((error_rate["Threshold"], error_rate["EvaluationPeriods"]), (5, 5))
        self.assertEqual((latency["Threshold"], latency["EvaluationPeriods"], latency["Period"]), (1, 10, 60))
        self.assertEqual(latency["ExtendedStatistic"], "p95")
        queues = {"DeadLettersAlarm": "DeadLetterQueue", "UndeliveredAlarm": "UndeliveredQueue"}
        for alarm, queue in queues.items():
            ((_, metric, dimensions, _),) = self.metrics(self.alarms[alarm])
            self.assertEqual(metric, "ApproximateNumberOfMessagesVisible")
            self.assertEqual(dimensions, {"QueueName": f"{queue}.QueueName"})
            self.assertEqual(self.alarms[alarm]["Threshold"], 0)

    def test_the_error_rate_is_what_was_returned_of_all(self):
        metrics = {metric["Id"]: metric for metric in self.alarms["ErrorRateAlarm"]["Metrics"]}
        outcomes = [
            dimensions["outcome"] for _, _, dimensions, _ in self.metrics(self.alarms["ErrorRateAlarm"])
        ]
        self.assertEqual(sorted(outcomes), sorted(OUTCOMES))
        records = dict(zip(OUTCOMES, [80, 6, 4, 4, 3, 2, 1]))

        def value(name):
            if "MetricStat" in metrics[name]:
                return records[metrics[name]["MetricStat"]["Metric"]["Dimensions"][0]["Value"]]
            expression = re.sub(r"FILL\((\w+), 0\)", r"\1", metrics[name]["Expression"])
            expression = re.sub(r"IF\((.*), (.*), 0\)", r"(\2 if \1 else 0)", expression)
            return eval(expression, {}, {word: value(word) for word in re.findall(r"[a-z_]{5,}", expression)})

        self.assertEqual(value("result"), 10)
        records.update(dict.fromkeys(OUTCOMES, 0))
        self.assertEqual(value("result"), 0)
        returned = [metric["Id"] for metric in metrics.values() if metric.get("ReturnData", True)]
        self.assertEqual(returned, ["result"])

    def test_concurrency_is_measured_against_the_limit_that_applies(self):
        limits = {
            "50": SERVICES,
            "40": {**SERVICES, "ReservedConcurrency": "40"},
            "(10 * 20)": {**SERVICES, "ProvisionedPollersMin": "2", "ProvisionedPollersMax": "20"},
        }
        for limit, parameters in limits.items():
            expression = Stack(parameters)["ConcurrencyAlarm"]["Metrics"][0]["Expression"]
            self.assertEqual(expression, f"100 * running / {limit}")

    def test_the_runbook_has_each_alarm_and_no_other(self):
        runbook = (ROOT / "docs/operations.md").read_text()
        headings = re.findall(r"^### `([a-z-]+)`", runbook, re.MULTILINE)
        names = [alarm["AlarmName"].removeprefix(f"{stack.STACK}-") for alarm in self.alarms.values()]
        self.assertEqual(sorted(headings), sorted(names))


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
    found = re.findall(r"SEARCH\('\{([^,}]+)((?:,\w+)*)\} MetricName=\"(\w+)\"'", expression)
    return [(namespace, dimensions.split(",")[1:], name) for namespace, dimensions, name in found]


class Queries(Telemetry):
    def test_they_ask_for_fields_that_the_log_has(self):
        queries = self.stack.of_type("Logs::QueryDefinition")
        self.assertEqual(len(queries), 4)
        for query in queries.values():
            self.assertEqual(query["LogGroupNames"], ["WorkerLogs"])
            text = re.sub(r'"[^"]*"', "", query["QueryString"])
            made = set(re.findall(r"\bas (\w+)", text))
            words = set(re.findall(r"@?\b[a-z]\w*(?![\w(])", text))
            grammar = {"fields", "filter", "stats", "sort", "limit", "by", "as", "in", "and", "desc", "asc", "5m"}
            self.assertEqual(words - made - grammar - {"0", "50", "95"} - LOG_FIELDS, set())


if __name__ == "__main__":
    unittest.main()
