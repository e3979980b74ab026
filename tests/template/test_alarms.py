"""Each alarm reads an existing metric and rings at the right threshold."""

import json
import re
import unittest

from template import (
    ACCOUNT,
    KEY,
    PAGES,
    REGION,
    ROOT,
    SERVICES,
    STACK_NAME,
    TICKETS,
    Stack,
    each_variant,
    source,
)
from test_queues import FORWARDING
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
    "NewDeadLettersAlarm": ("worker_dead_letters_total", {}, 0, 1),
    "ThrottlesAlarm": ("Throttles", FUNCTION, 0, 5),
    "FunctionErrorsAlarm": ("Errors", FUNCTION, 0, 5),
    "UndeliveredAlarm": (
        "ApproximateNumberOfMessagesVisible",
        {"QueueName": "UndeliveredQueue.QueueName"},
        0,
        1,
    ),
    "UnmatchedAlarm": (
        "ApproximateNumberOfMessagesVisible",
        {"QueueName": "UnmatchedQueue.QueueName"},
        0,
        1,
    ),
    "NewUnmatchedAlarm": (
        "Invocations",
        {"EventBusName": "ticket-reservation-events", "RuleName": "UnmatchedEvents.Arn[2]"},
        0,
        1,
    ),
    "ScheduleDeliveryAlarm": ("InvocationDroppedCount", {"ScheduleGroup": "HoldExpiries"}, 0, 1),
    "ConcurrencyAlarm": ("ConcurrentExecutions", FUNCTION, 90, 5),
}
# Alarms on several metrics, or on the metric of one version: threshold and minutes.
# Separate tests check their metrics.
OTHER_ALARMS = {
    "ErrorRateAlarm": (5, 7),
    "CanaryErrorsAlarm": (0, 1),
    "RuleDeliveryAlarm": (0, 3),
    "DurationAlarm": (80, 3),
    "HeartbeatAlarm": (1, 5),
    "MisconfiguredAlarm": (0, 3),
    "LateEventsAlarm": (60, 5),
    "CanaryErrorRateAlarm": (10, 1),
    "BurnHourAlarm": (14.4, 1),
    "BurnFiveMinutesAlarm": (14.4, 1),
    "BurnDayAlarm": (3, 1),
    "BurnTwoHoursAlarm": (3, 1),
}
# The length of a period in seconds; of all other alarms it is a minute.
PERIODS = {
    "CanaryErrorRateAlarm": 300,
    "BurnHourAlarm": 3600,
    "BurnFiveMinutesAlarm": 300,
    "BurnDayAlarm": 86400,
    "BurnTwoHoursAlarm": 7200,
}
# The number of minutes that are enough, if it is not all of them.
DATAPOINTS = {
    "ThrottlesAlarm": 1,
    "FunctionErrorsAlarm": 1,
    "RuleDeliveryAlarm": 1,
    "MisconfiguredAlarm": 1,
    "ErrorRateAlarm": 5,
    "LateEventsAlarm": 3,
}
PAGING = {"NewDeadLettersAlarm", "MisconfiguredAlarm", "LateEventsAlarm", "NewUnmatchedAlarm"}
PAGING |= {"ProcessingAlarm", "BacklogAlarm", "DeliveryAlarm", "FastBurnAlarm"}
TICKETING = {"DeadLettersAlarm", "UnmatchedAlarm", "SlowBurnAlarm", "SlowAlarm", "CanaryAlarm"}
OUTCOMES = ["success", "superseded", "ignored", "retried", "deferred", "failed", "invalid_payload"]


class Alarms(Telemetry):
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
        levels |= {"Duration", "worker_event_age_seconds", "worker_event_lateness_seconds", "worker_breaker_open"}
        for name, alarm in self.alarms.items():
            for _, metric, _, statistic in self.metrics(alarm):
                # SQS does not count messages that it moves to a dead-letter queue as sent.
                self.assertNotEqual(metric, "NumberOfMessagesSent")
                expected = "Maximum" if metric in levels else "p95" if name == "LatencyAlarm" else "Sum"
                self.assertEqual(statistic, expected, name)

    @each_variant
    def test_each_alarm_pages_or_makes_a_ticket_or_is_part_of_an_alarm_that_does(self, name, stack):
        pages, tickets = (PAGES, TICKETS) if name == "other topics" else ("PageTopic", "TicketTopic")
        topics = dict.fromkeys(PAGING, [pages]) | dict.fromkeys(TICKETING, [tickets])
        composites = stack.of_type("CloudWatch::CompositeAlarm")
        alarms = stack.of_type("CloudWatch::Alarm") | composites
        for alarm, properties in alarms.items():
            actions = [properties.get("AlarmActions"), properties.get("OKActions")]
            self.assertEqual(actions, [topics.get(alarm)] * 2, alarm)
        parts = {part for alarm in composites if alarm in topics for part in parts_of(composites[alarm])}
        self.assertEqual(set(alarms) - set(topics) - parts, {"KnownCauseAlarm"})

    def test_missing_data_breaches_only_for_the_heartbeat(self):
        for name, alarm in self.alarms.items():
            missing = "breaching" if name == "HeartbeatAlarm" else "notBreaching"
            self.assertEqual(alarm["TreatMissingData"], missing, name)

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
        comparison = "LessThanThreshold" if name == "HeartbeatAlarm" else "GreaterThanThreshold"
        self.assertEqual(alarm["ComparisonOperator"], comparison, name)
        self.assertEqual(alarm.get("DatapointsToAlarm", minutes), DATAPOINTS.get(name, minutes), name)
        stats = [m["MetricStat"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
        self.assertEqual({stat["Period"] for stat in stats or [alarm]}, {PERIODS.get(name, 60)}, name)

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

    def test_the_heartbeat_must_pass_both_rules_and_reach_the_worker(self):
        arns = {f"{rule}.Arn": f"arn:aws:events:r:a:rule/bus/{rule}" for rule in FORWARDING}
        alarm = Stack(SERVICES, arns)["HeartbeatAlarm"]
        read = [(metric, dimensions.get("RuleName")) for _, metric, dimensions, _ in self.metrics(alarm)]
        rules = [("Invocations", rule) for rule in FORWARDING]
        self.assertEqual(read, [*rules, ("worker_heartbeat", None)])
        expression, *steps = alarm["Metrics"]
        steps = [step["Id"] for step in steps]
        # A standard queue delivers the heartbeat of each rule, a FIFO queue only one of two equal messages.
        for counts, is_ok in (((1, 1, 2), True), ((1, 1, 1), True), ((None, 1, 1), False), ((1, 1, None), False)):
            values = {"MIN": min, "FILL": lambda value, filling: filling if value is None else value}
            value = eval(expression["Expression"], {}, values | dict(zip(steps, counts)))
            self.assertEqual(value >= alarm["Threshold"], is_ok)

    def test_without_metrics_of_the_worker_there_is_no_alarm_for_the_heartbeat(self):
        stack = Stack({**SERVICES, "MetricsSink": "none"})
        self.assertNotIn("HeartbeatAlarm", stack.of_type("CloudWatch::Alarm"))
        shown = json.loads(stack["Dashboard"]["DashboardBody"])["widgets"][0]["properties"]["alarms"]
        self.assertEqual(sorted(shown), sorted(f"{alarm}.Arn" for alarm in all_alarms(stack)))
        self.assertNotIn("HeartbeatAlarm", stack["DeliveryAlarm"]["AlarmRule"])

    def test_rule_delivery_counts_failed_and_lost_events_of_both_rules(self):
        arns = {f"{rule}.Arn": f"arn:aws:events:r:a:rule/bus/{rule}" for rule in FORWARDING}
        alarm = Stack(SERVICES, arns)["RuleDeliveryAlarm"]
        read_metrics = {(metric, dimensions["RuleName"]) for _, metric, dimensions, _ in self.metrics(alarm)}
        metrics = ("FailedInvocations", "InvocationsFailedToBeSentToDlq")
        self.assertEqual(read_metrics, {(metric, rule) for metric in metrics for rule in FORWARDING})
        ids = [metric["Id"] for metric in alarm["Metrics"]][1:]
        self.assertEqual(alarm["Metrics"][0]["Expression"], " + ".join(f"FILL({name}, 0)" for name in ids))

    def test_each_topic_accepts_alarms_of_this_stack_only(self):
        arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{STACK_NAME}-*"
        expected = {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": arn},
        }
        for topic in ("PageTopic", "TicketTopic"):
            publish, _ = self.stack[f"{topic}Policy"]["PolicyDocument"]["Statement"]
            self.assertEqual(publish["Principal"], {"Service": "cloudwatch.amazonaws.com"})
            self.assertEqual((publish["Resource"], publish["Condition"]), (topic, expected))

    def test_the_address_is_subscribed_to_the_topics_that_the_stack_creates(self):
        for parameters, topics in (
            ({}, []),
            ({"AlarmEmail": "a@b.c"}, ["PageTopic", "TicketTopic"]),
            ({"AlarmEmail": "a@b.c", "PageTopicArn": PAGES}, ["TicketTopic"]),
            ({"AlarmEmail": "a@b.c", "PageTopicArn": PAGES, "TicketTopicArn": TICKETS}, []),
        ):
            stack = Stack({**SERVICES, **parameters})
            subscriptions = stack.of_type("SNS::Subscription").values()
            email = {"Protocol": "email", "Endpoint": "a@b.c"}
            self.assertEqual(list(subscriptions), [{"TopicArn": topic, **email} for topic in topics])
            created = {"PageTopic", "TicketTopic"} - {p.removesuffix("Arn") for p in parameters}
            self.assertEqual(set(stack.of_type("SNS::Topic")), created)
            outputs = [stack.outputs[f"{topic}TopicArn"] for topic in ("Page", "Ticket")]
            given = [parameters.get(f"{topic}TopicArn", f"{topic}Topic") for topic in ("Page", "Ticket")]
            self.assertEqual(outputs, given)

    def test_the_topics_never_use_the_key_of_the_events(self):
        stack = Stack({**SERVICES, "KmsKeyArn": KEY})
        self.assertEqual(list(stack.of_type("SNS::Topic").values()), [{}, {}])
        other = KEY.replace("queues", "alarms")
        stack = Stack({**SERVICES, "KmsKeyArn": KEY, "AlarmKmsKeyArn": other})
        self.assertEqual(list(stack.of_type("SNS::Topic").values()), [{"KmsMasterKeyId": other}] * 2)
        self.assertEqual(stack.violated_rules(), [])
        same = {"KmsKeyArn": KEY, "AlarmKmsKeyArn": KEY}
        self.assertEqual(Stack({**SERVICES, **same}).violated_rules(), ["AlarmsHaveTheirOwnKey"])

    def test_a_prod_without_a_receiver_of_pages_or_of_tickets_is_refused(self):
        for parameters, is_refused in (
            ({}, True),
            ({"PageTopicArn": PAGES}, True),
            ({"TicketTopicArn": TICKETS}, True),
            ({"AlarmEmail": "a@b.c"}, False),
            ({"PageTopicArn": PAGES, "TicketTopicArn": TICKETS}, False),
            ({"PageTopicArn": PAGES, "AlarmEmail": "a@b.c"}, False),
        ):
            stack = Stack({**SERVICES, **parameters, "Environment": "prod"})
            self.assertEqual(stack.violated_rules(), ["ProdHasReceivers"] if is_refused else [], parameters)

    def result(self, alarm, values):
        """The value of an alarm on several metrics, given their values. A metric without a value has no data."""
        metrics = {metric["Id"]: metric for metric in self.alarms[alarm]["Metrics"]}
        visible = [metric["Id"] for metric in metrics.values() if metric.get("ReturnData", True)]
        self.assertEqual(visible, ["result"])

        class Values(dict):
            def __missing__(_, name):
                if name not in metrics:
                    raise KeyError(name)
                return values.get(name) if "MetricStat" in metrics[name] else evaluated(name)

        def evaluated(name):
            # IF of CloudWatch divides by 0 without an error, Python does not.
            expression = re.sub(r"^IF\((.*?), (.*), (.*)\)$", r"(\2 if \1 else \3)", metrics[name]["Expression"])
            fill = {"FILL": lambda value, filling: filling if value is None else value}
            return eval(expression, fill, Values())

        return evaluated("result")

    def test_the_error_rate_is_the_percentage_of_returned_records(self):
        for alarm in ("ErrorRateAlarm", "CanaryErrorRateAlarm"):
            read = [dimensions["outcome"] for _, _, dimensions, _ in self.metrics(self.alarms[alarm])]
            self.assertEqual(sorted(read), sorted(OUTCOMES))
            self.assertEqual(self.result(alarm, dict(zip(OUTCOMES, [80, 6, 4, 4, 3, 2, 1]))), 10)
            self.assertEqual(self.result(alarm, {}), 0)

    def test_the_records_of_the_new_version_alone_decide_about_a_deployment(self):
        alarm = Stack(SERVICES)["CanaryErrorRateAlarm"]
        (version,) = self.stack.of_type("Lambda::Version")
        versions = {dimensions["function_version"] for _, _, dimensions, _ in self.metrics(alarm)}
        self.assertEqual(versions, {f"{version}.Version"})

    def test_a_version_that_breaks_a_third_of_its_records_rings_before_each_type_of_deployment_ends(self):
        # The seconds in which the new version gets 10 % of the traffic. For AllAtOnce, the smoke test waits.
        shortest = {"Canary10Percent5Minutes": 300, "Canary10Percent10Minutes": 600}
        shortest |= {"Linear10PercentEvery1Minute": 60 * 9, "AllAtOnce": 180}
        types = source()["Parameters"]["DeploymentType"]["AllowedValues"]
        self.assertEqual(set(shortest), set(types))
        for kind, seconds in shortest.items():
            # The alarm looks back over 300 s, and needs about 2 minutes until the data are there and it is evaluated.
            share = 1 if kind == "AllAtOnce" else 0.1
            records = share * 10 * (seconds - 120)
            values = {"success": records * 2 / 3, "retried": records / 3}
            self.assertGreater(self.result("CanaryErrorRateAlarm", values), 10, kind)
        self.assertEqual(self.result("CanaryErrorRateAlarm", {"success": 1, "failed": 18}), 0, "too few records")

    def test_new_dead_letters_ring_although_older_ones_are_in_the_queue(self):
        ((_, metric, dimensions, _),) = self.metrics(self.alarms["NewDeadLettersAlarm"])
        self.assertEqual((metric, dimensions), ("worker_dead_letters_total", {}))
        self.assertNotIn("DeadLettersAlarm", parts_of_all(self.stack))

    def test_new_unmatched_events_ring_although_older_ones_are_in_the_queue(self):
        alarm = Stack(SERVICES, {"UnmatchedEvents.Arn": "arn:aws:events:r:a:rule/bus/unmatched"})["NewUnmatchedAlarm"]
        ((_, metric, dimensions, _),) = self.metrics(alarm)
        self.assertEqual((metric, dimensions["RuleName"]), ("Invocations", "unmatched"))

    def test_a_misconfiguration_rings_after_the_first_record(self):
        # tests/suite/template.rs checks that these are all reasons of this kind.
        self.assertEqual(self.result("MisconfiguredAlarm", {}), 0)
        for _, metric, dimensions, _ in self.metrics(self.alarms["MisconfiguredAlarm"]):
            self.assertEqual(metric, "worker_returned_total")
            self.assertEqual(self.result("MisconfiguredAlarm", {dimensions["reason"]: 1}), 1)

    def test_late_events_are_those_that_were_late_before_they_reached_the_queue(self):
        for lateness, age, expected in ((3600, 5, 3595), (700, 690, 10), (None, None, 0), (None, 700, -700)):
            self.assertEqual(self.result("LateEventsAlarm", {"lateness": lateness, "age": age}), expected)

    def test_the_burn_rate_is_the_share_of_late_events_and_dead_letters_in_the_permitted_share(self):
        for alarm in ("BurnHourAlarm", "BurnFiveMinutesAlarm", "BurnDayAlarm", "BurnTwoHoursAlarm"):
            # 15 of 1,000 events are late, and 1 in 1,000 may be.
            values = {"success": 900, "superseded": 95, "dead_letters": 5, "in_time": 985}
            self.assertAlmostEqual(self.result(alarm, values), 15)
            self.assertEqual(self.result(alarm, {"success": 9}), 0, "fewer than 10 late events")
            self.assertAlmostEqual(self.result(alarm, {"success": 10}), 1000)
            self.assertEqual(self.result(alarm, {}), 0)
        expression = Stack({**SERVICES, "SloPercent": "99"})["BurnHourAlarm"]["Metrics"][0]["Expression"]
        self.assertIn("(100 - 99)", expression)

    def test_a_deployment_watches_both_canary_alarms_whatever_its_type_is(self):
        for kind in source()["Parameters"]["DeploymentType"]["AllowedValues"]:
            group = Stack({**SERVICES, "DeploymentType": kind})["WorkerDeploymentGroup"]
            alarms = [alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]]
            self.assertEqual(alarms, ["CanaryErrorsAlarm", "CanaryErrorRateAlarm"])

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
        headings = re.findall(r"^### `([a-z0-9-]+)`", runbook, re.MULTILINE)
        names = [alarm["AlarmName"].removeprefix(f"{STACK_NAME}-") for alarm in all_alarms(self.stack).values()]
        self.assertEqual(sorted(headings), sorted(names))

    def test_each_description_names_its_section_of_the_runbook(self):
        for alarm in all_alarms(self.stack).values():
            name = alarm["AlarmName"].removeprefix(f"{STACK_NAME}-")
            last_line = alarm["AlarmDescription"].splitlines()[-1]
            self.assertEqual(last_line, f"Runbook: docs/operations.md#{name}")

    def test_each_description_is_short_enough_with_long_names(self):
        names = ["AWS::StackName", "WorkerLogs"]
        names += [f"{queue}.QueueName" for queue in self.stack.of_type("SQS::Queue")]
        stack = Stack(SERVICES, dict.fromkeys(names, "n" * 80))
        for name, alarm in all_alarms(stack).items():
            self.assertLessEqual(len(alarm["AlarmDescription"]), 1024, name)


class Composites(unittest.TestCase):
    def notifying(self, stack, ringing):
        """The alarms that notify while the metric alarms `ringing` ring. Actions that are suppressed do not count."""
        composites = stack.of_type("CloudWatch::CompositeAlarm")
        alarms = set(ringing)
        for name, alarm in composites.items():
            rule = re.sub(r'ALARM\("(\w+)"\)', lambda match: str(match[1] in alarms), alarm["AlarmRule"])
            rule = rule.replace("AND", "and").replace("OR", "or").replace("NOT", "not")
            if eval(" ".join(rule.split())):
                alarms.add(name)
        suppressors = {name: alarm.get("ActionsSuppressor", "").removesuffix(".Arn") for name, alarm in composites.items()}
        return {name for name in alarms & (PAGING | TICKETING) if suppressors.get(name) not in alarms}

    def test_each_cause_makes_one_page(self):
        for cause, ringing, expected in (
            ("a service is down", ["ErrorRate", "OldestEvent", "OldestMessage", "Concurrency", "Latency"], ["Processing"]),
            ("a service is down, with little traffic", ["ErrorRate", "OldestEvent"], ["Processing"]),
            ("a service is slow", ["Latency", "Duration"], ["Slow"]),
            ("the token is wrong", ["Misconfigured", "ErrorRate", "OldestEvent", "OldestMessage"], ["Misconfigured"]),
            ("retries are late", ["OldestEvent", "BurnHour", "BurnFiveMinutes"], ["Processing"]),
            ("the mapping is disabled", ["OldestMessage", "Heartbeat"], ["Backlog"]),
            ("more events than capacity", ["OldestMessage", "OldestEvent", "Concurrency"], ["Backlog"]),
            ("the account is throttled", ["Throttles", "OldestMessage", "OldestEvent"], ["Backlog"]),
            ("the function does not start", ["FunctionErrors", "OldestMessage", "Heartbeat"], ["Processing"]),
            ("the function does not start, without traffic", ["FunctionErrors", "Heartbeat"], ["Processing"]),
            ("a rule is lost", ["Heartbeat"], ["Delivery"]),
            ("the policy of the key is broken", ["Heartbeat", "RuleDelivery", "Undelivered"], ["Delivery"]),
            ("a schedule cannot deliver", ["ScheduleDelivery", "Undelivered"], ["Delivery"]),
            ("events arrive late", ["LateEvents"], ["LateEvents"]),
            ("a renamed type", ["NewUnmatched", "Unmatched"], ["NewUnmatched", "Unmatched"]),
            ("refunds", ["DeadLetters", "NewDeadLetters"], ["DeadLetters", "NewDeadLetters"]),
            ("new refunds", ["DeadLetters", "NewDeadLetters"], ["DeadLetters", "NewDeadLetters"]),
            ("a bad deployment", ["CanaryErrors", "CanaryErrorRate"], ["Canary"]),
            ("no known cause", ["BurnHour", "BurnFiveMinutes"], ["FastBurn"]),
            ("it was short", ["BurnHour"], []),
            ("slowly", ["BurnDay", "BurnTwoHours"], ["SlowBurn"]),
        ):
            found = self.notifying(Stack(SERVICES), {f"{name}Alarm" for name in ringing})
            self.assertEqual(found, {f"{name}Alarm" for name in expected}, cause)

    @each_variant
    def test_a_page_is_suppressed_only_by_another_page(self, _, stack):
        for name, alarm in stack.of_type("CloudWatch::CompositeAlarm").items():
            suppressor = alarm.get("ActionsSuppressor", "").removesuffix(".Arn")
            if suppressor == "KnownCauseAlarm":
                self.assertEqual(parts_of(stack[suppressor]), {"ProcessingAlarm", "BacklogAlarm"})
            elif suppressor:
                self.assertIn(suppressor, PAGING, name)

    def test_an_alarm_waits_until_the_alarm_that_explains_it_can_ring(self):
        stack = Stack(SERVICES)

        def minutes(alarm):
            return stack[alarm].get("DatapointsToAlarm", stack[alarm]["EvaluationPeriods"])

        # The burn rate can ring in the first minute: its windows slide.
        for name, rings_after, explained_after in (
            ("ProcessingAlarm", minutes("FunctionErrorsAlarm"), minutes("MisconfiguredAlarm")),
            ("BacklogAlarm", minutes("OldestMessageAlarm"), minutes("ErrorRateAlarm")),
            ("SlowAlarm", minutes("DurationAlarm"), minutes("ErrorRateAlarm")),
            ("FastBurnAlarm", 1, minutes("ErrorRateAlarm")),
        ):
            wait = stack[name]["ActionsSuppressorWaitPeriod"]
            self.assertGreaterEqual(wait, 60 * (explained_after - rings_after) + 60, name)
            self.assertEqual(stack[name]["ActionsSuppressorExtensionPeriod"], wait, name)

    def test_a_single_minute_of_a_part_lasts_longer_than_its_composite_alarm_waits(self):
        stack, checked = Stack(SERVICES), set()
        single = {name for name, points in DATAPOINTS.items() if points == 1}
        for name, alarm in stack.of_type("CloudWatch::CompositeAlarm").items():
            for part in parts_of(alarm) & single:
                wait = alarm.get("ActionsSuppressorWaitPeriod", 0)
                self.assertGreater(60 * stack[part]["EvaluationPeriods"], wait, f"{part} in {name}")
                checked.add(part)
        self.assertEqual(checked, {"ThrottlesAlarm", "FunctionErrorsAlarm", "RuleDeliveryAlarm"})


def all_alarms(stack):
    return stack.of_type("CloudWatch::Alarm") | stack.of_type("CloudWatch::CompositeAlarm")


def parts_of(composite):
    return set(re.findall(r'ALARM\("(\w+)"\)', composite["AlarmRule"]))


def parts_of_all(stack):
    return {part for alarm in stack.of_type("CloudWatch::CompositeAlarm").values() for part in parts_of(alarm)}


if __name__ == "__main__":
    unittest.main()
