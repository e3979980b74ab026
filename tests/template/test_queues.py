"""Queues, event source mapping and event rules, checked for each variant of the stack."""

import json
import re
import unittest

from template import ACCOUNT, BUS, KEY, REGION, ROOT, SECRET, SERVICES, STACK_NAME, Stack, each_variant, source


HEARTBEAT = "worker.heartbeat"
# The rules that forward events to the worker. Both forward the heartbeat.
FORWARDING = ("ReservationEvents", "PaymentEvents")


class Queues(unittest.TestCase):
    def test_the_visibility_time_out_is_six_time_outs_plus_the_window_for_every_allowed_pair(self):
        parameters = source()["Parameters"]
        for timeout in parameters["Timeout"]["AllowedValues"]:
            for window in parameters["BatchingWindow"]["AllowedValues"]:
                stack = Stack({**SERVICES, "Timeout": timeout, "BatchingWindow": window})
                needed = 6 * int(timeout) + int(window)
                self.assertGreaterEqual(int(stack["EventQueue"]["VisibilityTimeout"]), needed)

    @each_variant
    def test_the_visibility_time_out_fits_the_function_and_the_mapping(self, _, stack):
        timeout = int(stack["Worker"]["Timeout"])
        window = int(stack["WorkerQueue"].get("MaximumBatchingWindowInSeconds", 0))
        self.assertGreaterEqual(int(stack["EventQueue"]["VisibilityTimeout"]), 6 * timeout + window)

    @each_variant
    def test_the_dead_letter_queue_has_the_type_of_its_only_source(self, name, stack):
        queue, dead_letter_queue = stack["EventQueue"], stack["DeadLetterQueue"]
        fifo = name.startswith("fifo")
        for properties in (queue, dead_letter_queue):
            self.assertEqual(properties.get("FifoQueue", False), fifo)
            self.assertEqual(properties["QueueName"].endswith(".fifo"), fifo)
            self.assertEqual(properties.get("ContentBasedDeduplication", False), fifo)
            self.assertEqual(properties.get("FifoThroughputLimit"), "perMessageGroupId" if fifo else None)
            self.assertEqual(properties.get("DeduplicationScope"), "messageGroup" if fifo else None)
        self.assertEqual(queue["RedrivePolicy"]["deadLetterTargetArn"], "DeadLetterQueue.Arn")
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue['QueueName']}"
        allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [arn]}
        self.assertEqual(dead_letter_queue["RedriveAllowPolicy"], allowed)
        self.assertEqual(dead_letter_queue["MessageRetentionPeriod"], 14 * 86400)
        self.assertEqual(stack["UndeliveredQueue"]["MessageRetentionPeriod"], 14 * 86400)
        # On a standard queue a message keeps its age when it moves to the dead-letter queue, so the retention
        # period of the dead-letter queue must be longer.
        self.assertLess(queue["MessageRetentionPeriod"], dead_letter_queue["MessageRetentionPeriod"])

    def test_a_message_reaches_the_dead_letter_queue_before_its_retention_period_ends(self):
        parameters = source()["Parameters"]
        receives, max_backoff_ms = (parameters[name]["MaxValue"] for name in ("MaxRetries", "BackoffMaxMs"))
        self.assertLessEqual(parameters["BackoffBaseMs"]["MaxValue"], max_backoff_ms)
        queue = Stack({**SERVICES, "Timeout": "120", "BatchingWindow": "20"})["EventQueue"]
        # The longest time per receive: the complete visibility time-out, then the back-off with 20 % jitter.
        seconds = int(queue["VisibilityTimeout"]) + 1.2 * max_backoff_ms / 1000
        self.assertLess(receives * seconds, queue["MessageRetentionPeriod"])

    def test_queue_and_function_have_the_same_number_of_receives(self):
        for parameters in ({}, {"MaxRetries": "7"}):
            stack = Stack({**SERVICES, **parameters})
            receives = stack["EventQueue"]["RedrivePolicy"]["maxReceiveCount"]
            self.assertEqual(receives, stack["Worker"]["Environment"]["Variables"]["MAX_RETRIES"])
            self.assertEqual(receives, parameters.get("MaxRetries", "5"))

    @each_variant
    def test_every_queue_is_encrypted_and_retained_and_requires_tls(self, name, stack):
        queues = stack.of_type("SQS::Queue")
        self.assertEqual(set(queues), {"EventQueue", "DeadLetterQueue", "UndeliveredQueue", "UnmatchedQueue"})
        for queue, properties in queues.items():
            sse, key = properties.get("SqsManagedSseEnabled"), properties.get("KmsMasterKeyId")
            uses_key = name.endswith("key") and queue in ("EventQueue", "DeadLetterQueue")
            self.assertEqual((sse, key), (None, KEY) if uses_key else (True, None))
            resource = stack.resources[queue]
            self.assertEqual({resource["DeletionPolicy"], resource["UpdateReplacePolicy"]}, {"Retain"})
            self.assertIn(denial_without_tls(queue), statements_of(stack, queue))

    @each_variant
    def test_the_schedules_of_current_holds_survive_the_stack(self, _, stack):
        for name in ("HoldExpiries", "HoldExpiryRole"):
            resource = stack.resources[name]
            self.assertEqual({resource["DeletionPolicy"], resource["UpdateReplacePolicy"]}, {"Retain"})

    @each_variant
    def test_only_the_event_rules_can_send(self, _, stack):
        for queue, rules in {
            "EventQueue": FORWARDING,
            "UndeliveredQueue": FORWARDING,
            "UnmatchedQueue": ["UnmatchedEvents"],
        }.items():
            allowed = [s for s in statements_of(stack, queue) if s["Effect"] == "Allow"]
            self.assertEqual(
                allowed,
                [
                    {
                        "Sid": "RulesMaySend",
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": f"{queue}.Arn",
                        "Condition": {"ArnEquals": {"aws:SourceArn": [f"{rule}.Arn" for rule in rules]}},
                    }
                ],
            )
        self.assertEqual([s["Effect"] for s in statements_of(stack, "DeadLetterQueue")], ["Deny"])


def statements_of(stack, queue):
    policies = stack.of_type("SQS::QueuePolicy").values()
    policies = [policy for policy in policies if policy["Queues"] == [queue]]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def denial_without_tls(queue):
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": f"{queue}.Arn",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


class Mapping(unittest.TestCase):
    @each_variant
    def test_the_mapping_invokes_the_alias_and_accepts_partial_batch_responses(self, _, stack):
        mapping = stack["WorkerQueue"]
        self.assertEqual(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        self.assertEqual(mapping["FunctionName"], "WorkerAliaslive")
        self.assertEqual(mapping["EventSourceArn"], "EventQueue.Arn")
        self.assertEqual(mapping["MetricsConfig"], {"Metrics": ["EventCount"]})
        self.assertIs(mapping["Enabled"], True)
        self.assertIs(Stack({**SERVICES, "MappingEnabled": "false"})["WorkerQueue"]["Enabled"], False)

    @each_variant
    def test_the_mapping_has_either_a_concurrency_limit_or_provisioned_pollers(self, name, stack):
        mapping = stack["WorkerQueue"]
        limits = mapping.get("ScalingConfig"), mapping.get("ProvisionedPollerConfig")
        pollers = (None, {"MinimumPollers": "2", "MaximumPollers": "20"})
        self.assertEqual(limits, pollers if name == "pollers" else ({"MaximumConcurrency": "50"}, None))

    @each_variant
    def test_the_mapping_has_a_batching_window_only_for_a_standard_queue(self, name, stack):
        window = stack["WorkerQueue"].get("MaximumBatchingWindowInSeconds")
        fifo = name.startswith("fifo")
        self.assertEqual(window, None if fifo else "1" if name == "large batches" else "0")

    @each_variant
    def test_every_variant_satisfies_the_template_rules(self, _, stack):
        self.assertEqual(stack.violated_rules(), [])

    def test_invalid_combinations_of_parameters_violate_a_template_rule(self):
        for rule, parameters in (
            ("BatchSizeAboveTenRequiresWindow", {"BatchSize": "11"}),
            ("FifoLimitsBatchSizeAndWindow", {"QueueType": "fifo", "BatchSize": "20", "BatchingWindow": "1"}),
            ("FifoLimitsBatchSizeAndWindow", {"QueueType": "fifo", "BatchingWindow": "1"}),
            ("ServiceAddressesAreKnown", {"InventoryGrpcAddr": ""}),
            ("ServiceAddressesAreKnown", {"ReservationApiBase": ""}),
            ("ProvisionedPollersHaveBothLimits", {"ProvisionedPollersMax": "20"}),
            ("ProvisionedPollersHaveBothLimits", {"ProvisionedPollersMin": "2"}),
            ("VpcHasSubnetsAndSecurityGroups", {"SubnetIds": "subnet-0a"}),
            ("VpcHasSubnetsAndSecurityGroups", {"SecurityGroupIds": "sg-0a"}),
        ):
            self.assertEqual(Stack({**SERVICES, **parameters}).violated_rules(), [rule], parameters)


class Parameters(unittest.TestCase):
    def test_patterns_reject_names_that_aws_or_the_alarms_do_not_support(self):
        parameters = source()["Parameters"]
        for name, valid, invalid_values in (
            ("EventBusName", "ticket-reservation-events-dev", ["default", "aws.partner/x/y"]),
            ("ScheduleGroupName", "reservation-expiry-dev", ["default", "a" * 65, ""]),
            ("MetricsNamespace", "TrafficTacos/ReservationWorker/dev", ["AWS/Lambda", 'a"b', ""]),
            ("SubnetIds", "subnet-0a,subnet-0b", ["subnet-0a,", "sg-0a"]),
            ("SecurityGroupIds", "sg-0a", ["sg-0a sg-0b"]),
            ("KmsKeyArn", KEY, ["alias/queues", KEY.replace("queues", "*")]),
            ("SecretArn", SECRET, ["worker", SECRET.replace("worker", "*")]),
        ):
            pattern = parameters[name]["AllowedPattern"]
            for value in (valid, parameters[name]["Default"]):
                self.assertRegex(value, pattern, name)
            for value in invalid_values:
                self.assertNotRegex(value, pattern, name)

    def test_the_deadline_reserve_is_at_most_half_of_the_shortest_time_out(self):
        parameters = source()["Parameters"]
        shortest = min(map(int, parameters["Timeout"]["AllowedValues"]))
        self.assertLessEqual(parameters["DeadlineReserveMs"]["MaxValue"], shortest * 1000 / 2)


class EventRules(unittest.TestCase):
    @each_variant
    def test_one_rule_forwards_each_type_and_both_rules_forward_the_heartbeat(self, name, stack):
        # tests/suite/template.rs checks that these are exactly the types that the worker handles.
        rules = stack.of_type("Events::Rule")
        self.assertEqual(set(rules), {*FORWARDING, "UnmatchedEvents"})
        for rule in rules.values():
            bus = "EventBus" if name == "own bus" else "ticket-reservation-events"
            self.assertEqual((rule["EventBusName"], rule["State"]), (bus, "ENABLED"))
        types = [kind for rule in FORWARDING for kind in rules[rule]["EventPattern"]["detail-type"]]
        self.assertEqual([kind for kind in set(types) if types.count(kind) > 1], [HEARTBEAT])
        for rule in FORWARDING:
            self.assertEqual(set(rules[rule]["EventPattern"]), {"detail-type"}, "a rule must match by type only")
            (target,) = rules[rule]["Targets"]
            self.assertEqual(target["Arn"], "EventQueue.Arn")
            self.assertEqual(target["DeadLetterConfig"], {"Arn": "UndeliveredQueue.Arn"})
            maximum = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
            self.assertEqual(target["RetryPolicy"], maximum)
        # Never FIFO: EventBridge does not support a FIFO queue as the dead-letter queue of a rule.
        self.assertEqual(stack["UndeliveredQueue"]["QueueName"], f"{STACK_NAME}-undelivered")
        self.assertEqual(stack["HoldExpiries"]["Name"], "reservation-expiry")

    @each_variant
    def test_a_message_group_is_a_reservation_in_a_fifo_queue_and_all_expiries_in_a_fair_queue(self, name, stack):
        groups = [stack[rule]["Targets"][0].get("SqsParameters", {}).get("MessageGroupId") for rule in FORWARDING]
        reservation = "$.detail.reservation_id"
        self.assertEqual(groups, [reservation] * 2 if name.startswith("fifo") else ["expiries", None])

    def test_disabled_delivery_disables_every_rule(self):
        disabled = Stack({**SERVICES, "EventDelivery": "DISABLED"}).of_type("Events::Rule").values()
        self.assertEqual({rule["State"] for rule in disabled}, {"DISABLED"})

    def test_the_catch_all_keeps_events_of_the_given_sources_that_no_other_rule_forwards(self):
        rule = Stack({**SERVICES, "EventSources": "payments,holds"})["UnmatchedEvents"]
        self.assertEqual(rule["EventPattern"]["source"], ["payments", "holds"])
        self.assertEqual([target["Arn"] for target in rule["Targets"]], ["UnmatchedQueue.Arn"])
        (excluded,) = rule["EventPattern"]["detail-type"]
        forwarded = {kind for name in FORWARDING for kind in Stack(SERVICES)[name]["EventPattern"]["detail-type"]}
        self.assertLess(forwarded, set(excluded["anything-but"]))

    def test_the_sources_are_those_of_the_sample_events(self):
        bodies = "".join(path.read_text() for path in (ROOT / "events").glob("*.json"))
        sampled = set(re.findall(r'"source\\*" ?: ?\\*"([^"\\]+)', bodies)) - {"reservation-worker"}
        self.assertEqual(set(source()["Parameters"]["EventSources"]["Default"].split(",")), sampled)

    @each_variant
    def test_the_archive_exists_unless_its_days_are_0_and_contains_the_whole_bus(self, name, stack):
        if name == "no metrics":
            self.assertEqual(stack.of_type("Events::Archive"), {})
            self.assertNotIn("ArchiveArn", stack.outputs)
        else:
            archive = dict(stack["Archive"])
            archive.pop("Description")
            bus = "EventBus.Arn" if name == "own bus" else BUS
            self.assertEqual(archive, {"ArchiveName": STACK_NAME, "SourceArn": bus, "RetentionDays": "7"})
            self.assertEqual(stack.outputs["ArchiveArn"], "Archive.Arn")

    @each_variant
    def test_a_heartbeat_is_sent_to_the_bus_each_minute_if_the_worker_counts_it(self, name, stack):
        if name == "no metrics":
            self.assertEqual(stack.of_type("Scheduler::Schedule"), {})
            return
        schedule = stack["Heartbeat"]
        self.assertEqual(schedule["ScheduleExpression"], "rate(1 minute)")
        target = schedule["Target"]
        self.assertEqual(target["Arn"], "EventBus.Arn" if name == "own bus" else BUS)
        self.assertEqual(target["RoleArn"], "HeartbeatRole.Arn")
        event = {"DetailType": HEARTBEAT, "Source": "reservation-worker"}
        self.assertEqual(target["EventBridgeParameters"], event)
        # The rules take the message group on a FIFO queue from this field.
        self.assertEqual(json.loads(target["Input"]), {"reservation_id": HEARTBEAT})


if __name__ == "__main__":
    unittest.main()
