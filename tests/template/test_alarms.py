"""Each alarm reads an existing metric and goes off at the right threshold."""

import json
import re
import unittest

from template import ACCOUNT, KEY, REGION, ROOT, SERVICES, STACK_NAME, Stack
from test_telemetry import Telemetry

FUNCTION = {"FunctionName": "Worker"}
# Alarms on one metric: the metric, its dimensions, the threshold, and the number of minutes above it.
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
    "ConcurrencyAlarm": ("ConcurrentExecutions", FUNCTION, 90, 5),
}
# Alarms on several metrics, or on the metric of one version: threshold and minutes.
# Separate tests check their metrics.
OTHER_ALARMS = {
    "ErrorRateAlarm": (5, 5),
    "CanaryErrorsAlarm": (0, 1),
    "RuleDeliveryAlarm": (0, 1),
    "DurationAlarm": (80, 3),
}
OUTCOMES = ["success", "superseded", "ignored", "retried", "deferred", "failed", "invalid_payload"]


class Alarms(Telemetry):
    def setUp(self):
        super().setUp()
        self.rules = list(self.stack.of_type("Events::Rule"))

    def metrics(self, alarm):
        """The metrics that an alarm reads, each as namespace, name, dimensions and statistic."""
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
            self.assertTrue(1 <= len(metrics) <= 10, "an alarm can read at most ten metrics")
            for namespace, metric, dimensions, _ in metrics:
                self.assert_exists(namespace, metric, dimensions)

    def test_counts_use_the_sum_and_levels_the_maximum(self):
        levels = {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateAgeOfOldestMessage",
            "ConcurrentExecutions",
        }
        levels |= {"Duration", "worker_event_age_seconds", "worker_breaker_open"}
        for name, alarm in self.alarms.items():
            for _, metric, _, statistic in self.metrics(alarm):
                # SQS does not count messages that it moves to a dead-letter queue as sent.
                self.assertNotEqual(metric, "NumberOfMessagesSent")
                expected = "Maximum" if metric in levels else "p95" if name == "LatencyAlarm" else "Sum"
                self.assertEqual(statistic, expected, name)

    def test_each_alarm_notifies_on_alarm_and_on_recovery_and_ignores_missing_data(self):
        for name, alarm in self.alarms.items():
            self.assertEqual(
                (alarm["AlarmActions"], alarm["OKActions"]), (["AlarmTopic"], ["AlarmTopic"]), name
            )
            self.assertEqual(alarm["TreatMissingData"], "notBreaching", name)

    def test_each_alarm_has_the_expected_metric_and_threshold(self):
        for name, (metric, dimensions, threshold, minutes) in ALARMS.items():
            ((_, actual_metric, actual_dimensions, _),) = self.metrics(self.alarms[name])
            self.assertEqual((actual_metric, actual_dimensions), (metric, dimensions), name)
            self.assert_threshold(name, threshold, minutes)
        for name, (threshold, minutes) in OTHER_ALARMS.items():
            self.assert_threshold(name, threshold, minutes)
        self.assertEqual(set(self.alarms), set(ALARMS) | set(OTHER_ALARMS))

    def assert_threshold(self, name, threshold, minutes):
        alarm = self.alarms[name]
        self.assertEqual((alarm["Threshold"], alarm["EvaluationPeriods"]), (threshold, minutes), name)
        self.assertEqual(alarm["ComparisonOperator"], "GreaterThanThreshold", name)
        self.assertNotIn("DatapointsToAlarm", alarm, name)
        stats = [m["MetricStat"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
        self.assertEqual({stat["Period"] for stat in stats or [alarm]}, {60}, name)

    def test_duration_is_a_percentage_of_the_time_out_and_0_in_minutes_with_an_open_breaker(self):
        for timeout in ("30", "120"):
            alarm = Stack({**SERVICES, "Timeout": timeout})["DurationAlarm"]
            metrics = {metric["Id"]: metric for metric in alarm["Metrics"]}
            visible = [metric["Id"] for metric in alarm["Metrics"] if metric.get("ReturnData", True)]
            self.assertEqual(visible, ["result"])
            # A breaker that is not open has no value.
            for breakers, expected in [({}, 90), ({"reservation_api": 1}, 0), ({"inventory": 1}, 0)]:
                values = {
                    "FILL": lambda value, filling: filling if value is None else value,
                    "IF": lambda condition, then, otherwise: then if condition else otherwise,
                    "longest": 900 * int(timeout),
                    "reservation_api": None,
                    "inventory": None,
                    **breakers,
                }
                values["open_breakers"] = eval(metrics["open_breakers"]["Expression"], {}, values)
                self.assertEqual(eval(metrics["result"]["Expression"], {}, values), expected)

    def test_duration_reads_the_longest_invocation_and_the_breaker_of_each_service(self):
        metrics = {m["Id"]: m["MetricStat"]["Metric"] for m in self.alarms["DurationAlarm"]["Metrics"][2:]}
        expected = {
            "longest": ("Duration", FUNCTION),
            "reservation_api": ("worker_breaker_open", {"service": "reservation-api"}),
            "inventory": ("worker_breaker_open", {"service": "inventory"}),
        }
        actual = {
            name: (metric["MetricName"], {d["Name"]: d["Value"] for d in metric["Dimensions"]})
            for name, metric in metrics.items()
        }
        self.assertEqual(actual, expected)

    def test_rule_delivery_counts_failed_and_lost_events_of_both_rules(self):
        arns = {f"{rule}.Arn": f"arn:aws:events:r:a:rule/bus/{rule}" for rule in self.rules}
        alarm = Stack(SERVICES, arns)["RuleDeliveryAlarm"]
        read_metrics = {(metric, dimensions["RuleName"]) for _, metric, dimensions, _ in self.metrics(alarm)}
        metrics = ("FailedInvocations", "InvocationsFailedToBeSentToDlq")
        self.assertEqual(read_metrics, {(metric, rule) for metric in metrics for rule in self.rules})
        ids = [metric["Id"] for metric in alarm["Metrics"]][1:]
        self.assertEqual(alarm["Metrics"][0]["Expression"], " + ".join(f"FILL({name}, 0)" for name in ids))

    def test_the_topic_accepts_alarms_of_this_stack_only_and_notifies_the_given_address(self):
        self.assertEqual(Stack(SERVICES).of_type("SNS::Subscription"), {})
        (subscription,) = Stack({**SERVICES, "AlarmEmail": "a@b.c"}).of_type("SNS::Subscription").values()
        self.assertEqual(subscription, {"TopicArn": "AlarmTopic", "Protocol": "email", "Endpoint": "a@b.c"})
        self.assertEqual(Stack({**SERVICES, "KmsKeyArn": KEY})["AlarmTopic"], {"KmsMasterKeyId": KEY})
        publish, _ = self.stack["AlarmTopicPolicy"]["PolicyDocument"]["Statement"]
        self.assertEqual(publish["Principal"], {"Service": "cloudwatch.amazonaws.com"})
        arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{STACK_NAME}-*"
        expected = {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": arn},
        }
        self.assertEqual(publish["Condition"], expected)

    def test_the_error_rate_is_the_percentage_of_returned_records(self):
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
        visible = [metric["Id"] for metric in metrics.values() if metric.get("ReturnData", True)]
        self.assertEqual(visible, ["result"])

    def test_concurrency_is_a_percentage_of_the_lower_limit(self):
        pollers = {"ProvisionedPollersMin": "2", "ProvisionedPollersMax": "20"}
        for lower_limit, shown_limits, parameters in (
            (50, [50], {}),
            (40, [50, 40], {"ReservedConcurrency": "40"}),
            (50, [50, 60], {"ReservedConcurrency": "60"}),
            (200, [200], pollers),
            (100, [200, 100], {**pollers, "ReservedConcurrency": "100"}),
        ):
            stack = Stack({**SERVICES, **parameters})
            metrics = {metric["Id"]: metric for metric in stack["ConcurrencyAlarm"]["Metrics"]}
            values = {"MAX": max, "running": lower_limit}
            for name in ("of_mapping", "of_function", "result"):
                values[name] = eval(metrics[name]["Expression"], {}, values)
            self.assertAlmostEqual(values["result"], 100)
            widgets = json.loads(stack["Dashboard"]["DashboardBody"])["widgets"]
            (lines,) = [
                widget["properties"]["annotations"]["horizontal"]
                for widget in widgets
                if widget["properties"]["title"] == "Concurrency and throttles"
            ]
            self.assertEqual([line["value"] for line in lines], shown_limits)

    def test_the_runbook_has_one_section_for_each_alarm(self):
        runbook = (ROOT / "docs/operations.md").read_text()
        headings = re.findall(r"^### `([a-z-]+)`", runbook, re.MULTILINE)
        names = [alarm["AlarmName"].removeprefix(f"{STACK_NAME}-") for alarm in self.alarms.values()]
        self.assertEqual(sorted(headings), sorted(names))

    def test_each_description_names_its_section_of_the_runbook(self):
        for alarm in self.alarms.values():
            name = alarm["AlarmName"].removeprefix(f"{STACK_NAME}-")
            last_line = alarm["AlarmDescription"].splitlines()[-1]
            self.assertEqual(last_line, f"Runbook: docs/operations.md#{name}")

    def test_each_description_is_short_enough_with_long_names(self):
        names = ["AWS::StackName", "WorkerLogs"]
        names += [f"{queue}.QueueName" for queue in self.stack.of_type("SQS::Queue")]
        stack = Stack(SERVICES, dict.fromkeys(names, "n" * 80))
        for name, alarm in stack.of_type("CloudWatch::Alarm").items():
            self.assertLessEqual(len(alarm["AlarmDescription"]), 1024, name)


if __name__ == "__main__":
    unittest.main()
