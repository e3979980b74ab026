"""Each alarm reads what exists and rings when it should."""

import json
import re
import unittest

import stack
from stack import ACCOUNT, KEY, REGION, ROOT, SERVICES, Stack
from test_telemetry import Telemetry

FUNCTION = {"FunctionName": "Worker"}
# What each alarm on one metric reads, above what it rings, and for how many minutes.
ALARMS = {
    "LatencyAlarm": ("worker_latency_seconds", {}, 1, 10),
    "DeadLettersAlarm": (
        "ApproximateNumberOfMessagesVisible",
        {"QueueName": "DeadLetterQueue.QueueName"},
        0,
        1,
    ),
    "OldestMessageAlarm": ("ApproximateAgeOfOldestMessage", {"QueueName": "EventQueue.QueueName"}, 60, 3),
    "OldestEventAlarm": ("worker_event_age_seconds", {}, 60, 3),
    "ThrottlesAlarm": ("Throttles", FUNCTION, 0, 1),
    "FunctionErrorsAlarm": ("Errors", FUNCTION, 0, 1),
    "UndeliveredAlarm": (
        "ApproximateNumberOfMessagesVisible",
        {"QueueName": "UndeliveredQueue.QueueName"},
        0,
        1,
    ),
    "ScheduleDeliveryAlarm": ("InvocationDroppedCount", {"ScheduleGroup": "HoldExpiries"}, 0, 1),
    "DurationAlarm": ("Duration", FUNCTION, 80, 3),
    "ConcurrencyAlarm": ("ConcurrentExecutions", FUNCTION, 90, 5),
}
# Of more than one metric, or of one version's: looked at by tests of their own.
OTHERS = {"ErrorRateAlarm": (5, 5), "CanaryErrorsAlarm": (0, 1), "RuleDeliveryAlarm": (0, 1)}
OUTCOMES = ["success", "superseded", "ignored", "retried", "deferred", "failed", "invalid_payload"]


class Alarms(Telemetry):
    def setUp(self):
        super().setUp()
        self.rules = list(self.stack.of_type("Events::Rule"))

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

    def test_each_reads_what_it_is_named_for_and_rings_when_it_should(self):
        for name, (metric, dimensions, above, minutes) in ALARMS.items():
            ((_, read, where, _),) = self.metrics(self.alarms[name])
            self.assertEqual((read, where), (metric, dimensions), name)
            self.assert_rings(name, above, minutes)
        for name, rings in OTHERS.items():
            self.assert_rings(name, *rings)
        self.assertEqual(set(self.alarms), set(ALARMS) | set(OTHERS))

    def assert_rings(self, name, above, minutes):
        alarm = self.alarms[name]
        self.assertEqual((alarm["Threshold"], alarm["EvaluationPeriods"]), (above, minutes), name)
        self.assertEqual(alarm["ComparisonOperator"], "GreaterThanThreshold", name)
        self.assertNotIn("DatapointsToAlarm", alarm, name)
        stats = [m["MetricStat"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
        self.assertEqual({stat["Period"] for stat in stats or [alarm]}, {60}, name)

    def test_duration_is_measured_in_percent_of_the_time_out(self):
        for timeout in ("30", "120"):
            metrics = Stack({**SERVICES, "Timeout": timeout})["DurationAlarm"]["Metrics"]
            self.assertEqual(eval(metrics[0]["Expression"], {}, {"longest": 500 * int(timeout)}), 50)

    def test_rule_delivery_counts_what_failed_and_what_was_lost_of_both_rules(self):
        arns = {f"{rule}.Arn": f"arn:aws:events:r:a:rule/bus/{rule}" for rule in self.rules}
        alarm = Stack(SERVICES, arns)["RuleDeliveryAlarm"]
        read = {(metric, dimensions["RuleName"]) for _, metric, dimensions, _ in self.metrics(alarm)}
        metrics = ("FailedInvocations", "InvocationsFailedToBeSentToDlq")
        self.assertEqual(read, {(metric, rule) for metric in metrics for rule in self.rules})
        ids = [metric["Id"] for metric in alarm["Metrics"]][1:]
        self.assertEqual(alarm["Metrics"][0]["Expression"], " + ".join(f"FILL({name}, 0)" for name in ids))

    def test_the_topic_takes_alarms_of_this_stack_alone_and_tells_who_asked(self):
        self.assertEqual(Stack(SERVICES).of_type("SNS::Subscription"), {})
        (told,) = Stack({**SERVICES, "AlarmEmail": "a@b.c"}).of_type("SNS::Subscription").values()
        self.assertEqual(told, {"TopicArn": "AlarmTopic", "Protocol": "email", "Endpoint": "a@b.c"})
        self.assertEqual(Stack({**SERVICES, "KmsKeyArn": KEY})["AlarmTopic"], {"KmsMasterKeyId": KEY})
        publish, _ = self.stack["AlarmTopicPolicy"]["PolicyDocument"]["Statement"]
        self.assertEqual(publish["Principal"], {"Service": "cloudwatch.amazonaws.com"})
        arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{stack.STACK}-*"
        of_this_stack = {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": arn},
        }
        self.assertEqual(publish["Condition"], of_this_stack)

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
        pollers = {"ProvisionedPollersMin": "2", "ProvisionedPollersMax": "20"}
        for limit, shown, more in (
            (50, [50], {}),
            (40, [50, 40], {"ReservedConcurrency": "40"}),
            (50, [50, 60], {"ReservedConcurrency": "60"}),
            (200, [200], pollers),
            (100, [200, 100], {**pollers, "ReservedConcurrency": "100"}),
        ):
            made = Stack({**SERVICES, **more})
            metrics = {metric["Id"]: metric for metric in made["ConcurrencyAlarm"]["Metrics"]}
            values = {"MAX": max, "running": limit}
            for name in ("of_mapping", "of_function", "result"):
                values[name] = eval(metrics[name]["Expression"], {}, values)
            self.assertAlmostEqual(values["result"], 100)
            widgets = json.loads(made["Dashboard"]["DashboardBody"])["widgets"]
            (lines,) = [
                widget["properties"]["annotations"]["horizontal"]
                for widget in widgets
                if widget["properties"]["title"] == "Concurrency and throttles"
            ]
            self.assertEqual([line["value"] for line in lines], shown)

    def test_the_runbook_has_each_alarm_and_no_other(self):
        runbook = (ROOT / "docs/operations.md").read_text()
        headings = re.findall(r"^### `([a-z-]+)`", runbook, re.MULTILINE)
        names = [alarm["AlarmName"].removeprefix(f"{stack.STACK}-") for alarm in self.alarms.values()]
        self.assertEqual(sorted(headings), sorted(names))


if __name__ == "__main__":
    unittest.main()
