"""Queues, the mapping, and the rules that bring events in, held for each variant of the stack."""

import unittest

import stack
from stack import ACCOUNT, KEY, REGION, SERVICES, STACK, Stack, each_variant

TYPES = {
    "reservation.expired",
    "reservation.hold.expired",
    "payment.approved",
    "payment.failed",
    "Payment Status Updated",
}


class Queues(unittest.TestCase):
    def test_visibility_is_six_time_outs_and_the_window_for_every_allowed_pair(self):
        parameters = stack.source()["Parameters"]
        for timeout in parameters["Timeout"]["AllowedValues"]:
            for window in parameters["BatchingWindow"]["AllowedValues"]:
                made = Stack({**SERVICES, "Timeout": timeout, "BatchingWindow": window})
                needed = 6 * int(timeout) + int(window)
                self.assertGreaterEqual(int(made["EventQueue"]["VisibilityTimeout"]), needed)

    @each_variant
    def test_visibility_fits_what_the_mapping_is_told(self, _, made):
        timeout = int(made["Worker"]["Timeout"])
        window = int(made["WorkerQueue"].get("MaximumBatchingWindowInSeconds", 0))
        self.assertGreaterEqual(int(made["EventQueue"]["VisibilityTimeout"]), 6 * timeout + window)

    @each_variant
    def test_the_dead_letter_queue_is_of_the_queues_type_and_takes_from_it_alone(self, name, made):
        queue, dead = made["EventQueue"], made["DeadLetterQueue"]
        fifo = name.startswith("fifo")
        for one in (queue, dead):
            self.assertEqual(one.get("FifoQueue", False), fifo)
            self.assertEqual(one["QueueName"].endswith(".fifo"), fifo)
            self.assertEqual(one.get("ContentBasedDeduplication", False), fifo)
            self.assertEqual(one.get("FifoThroughputLimit"), "perMessageGroupId" if fifo else None)
            self.assertEqual(one.get("DeduplicationScope"), "messageGroup" if fifo else None)
        self.assertEqual(queue["RedrivePolicy"]["deadLetterTargetArn"], "DeadLetterQueue.Arn")
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue['QueueName']}"
        allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [arn]}
        self.assertEqual(dead["RedriveAllowPolicy"], allowed)
        self.assertEqual(dead["MessageRetentionPeriod"], 14 * 86400)
        self.assertEqual(made["UndeliveredQueue"]["MessageRetentionPeriod"], 14 * 86400)
        # A message keeps its age when it is moved: it must not be too old to be kept.
        self.assertLess(queue["MessageRetentionPeriod"], dead["MessageRetentionPeriod"])

    def test_a_message_is_a_dead_letter_before_it_is_too_old_to_be_kept(self):
        parameters = stack.source()["Parameters"]
        retries, longest = (parameters[name]["MaxValue"] for name in ("MaxRetries", "BackoffMaxMs"))
        self.assertLessEqual(parameters["BackoffBaseMs"]["MaxValue"], longest)
        queue = Stack({**SERVICES, "Timeout": "120", "BatchingWindow": "20"})["EventQueue"]
        # Each time worked on until it is visible again, and then the back-off with all its jitter.
        receive = int(queue["VisibilityTimeout"]) + 1.2 * longest / 1000
        self.assertLess(retries * receive, queue["MessageRetentionPeriod"])

    def test_queue_and_function_count_the_same_receives(self):
        for more in ({}, {"MaxRetries": "7"}):
            made = Stack({**SERVICES, **more})
            receives = made["EventQueue"]["RedrivePolicy"]["maxReceiveCount"]
            self.assertEqual(receives, made["Worker"]["Environment"]["Variables"]["MAX_RETRIES"])
            self.assertEqual(receives, more.get("MaxRetries", "5"))

    @each_variant
    def test_every_queue_is_encrypted_kept_and_open_to_tls_alone(self, name, made):
        queues = made.of_type("SQS::Queue")
        self.assertEqual(set(queues), {"EventQueue", "DeadLetterQueue", "UndeliveredQueue"})
        for queue, properties in queues.items():
            sse, key = properties.get("SqsManagedSseEnabled"), properties.get("KmsMasterKeyId")
            self.assertEqual((sse, key), (None, KEY) if name.endswith("key") else (True, None))
            kept = made.resources[queue]
            self.assertEqual({kept["DeletionPolicy"], kept["UpdateReplacePolicy"]}, {"Retain"})
            self.assertIn(refusal(queue), statements_of(made, queue))

    @each_variant
    def test_only_the_two_rules_may_send(self, _, made):
        for queue in ("EventQueue", "UndeliveredQueue"):
            allowed = [s for s in statements_of(made, queue) if s["Effect"] == "Allow"]
            self.assertEqual(
                allowed,
                [
                    {
                        "Sid": "RulesMaySend",
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": f"{queue}.Arn",
                        "Condition": {
                            "ArnEquals": {
                                "aws:SourceArn": [f"{rule}.Arn" for rule in made.of_type("Events::Rule")]
                            }
                        },
                    }
                ],
            )
        self.assertEqual([s["Effect"] for s in statements_of(made, "DeadLetterQueue")], ["Deny"])


def statements_of(made, queue):
    policies = made.of_type("SQS::QueuePolicy").values()
    policies = [policy for policy in policies if policy["Queues"] == [queue]]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def refusal(queue):
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
    def test_records_are_returned_one_by_one_to_the_alias(self, _, made):
        mapping = made["WorkerQueue"]
        self.assertEqual(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        self.assertEqual(mapping["FunctionName"], "WorkerAliaslive")
        self.assertEqual(mapping["EventSourceArn"], "EventQueue.Arn")
        self.assertEqual(mapping["MetricsConfig"], {"Metrics": ["EventCount"]})
        self.assertIs(mapping["Enabled"], True)
        self.assertIs(Stack({**SERVICES, "MappingEnabled": "false"})["WorkerQueue"]["Enabled"], False)

    @each_variant
    def test_either_a_limit_or_provisioned_pollers(self, name, made):
        mapping = made["WorkerQueue"]
        limits = mapping.get("ScalingConfig"), mapping.get("ProvisionedPollerConfig")
        pollers = (None, {"MinimumPollers": "2", "MaximumPollers": "20"})
        self.assertEqual(limits, pollers if name == "pollers" else ({"MaximumConcurrency": "50"}, None))

    @each_variant
    def test_a_window_only_where_a_queue_takes_one(self, name, made):
        window = made["WorkerQueue"].get("MaximumBatchingWindowInSeconds")
        fifo = name.startswith("fifo")
        self.assertEqual(window, None if fifo else "1" if name == "large batches" else "0")

    @each_variant
    def test_no_rule_refuses_a_variant(self, _, made):
        self.assertEqual(made.refused_by(), [])

    def test_settings_that_cannot_work_are_refused_before_anything_is_made(self):
        for broken, more in {
            "BatchAboveTenNeedsWindow": {"BatchSize": "11"},
            "FifoTakesTenAndNoWindow": {"QueueType": "fifo", "BatchSize": "20", "BatchingWindow": "1"},
            "ServicesAreKnown": {"InventoryGrpcAddr": ""},
            "PollersHaveTwoEnds": {"ProvisionedPollersMax": "20"},
            "VpcHasSubnetsAndSecurityGroups": {"SubnetIds": "subnet-0a"},
        }.items():
            self.assertEqual(Stack({**SERVICES, **more}).refused_by(), [broken])
        self.assertEqual(Stack({**SERVICES, "ReservationApiBase": ""}).refused_by(), ["ServicesAreKnown"])
        pollers = {**SERVICES, "ProvisionedPollersMin": "2"}
        self.assertEqual(Stack(pollers).refused_by(), ["PollersHaveTwoEnds"])
        groups = {**SERVICES, "SecurityGroupIds": "sg-0a"}
        self.assertEqual(Stack(groups).refused_by(), ["VpcHasSubnetsAndSecurityGroups"])
        fifo = {**SERVICES, "QueueType": "fifo", "BatchingWindow": "1"}
        self.assertEqual(Stack(fifo).refused_by(), ["FifoTakesTenAndNoWindow"])


class Parameters(unittest.TestCase):
    def test_names_that_aws_or_an_alarm_does_not_take_are_refused(self):
        parameters = stack.source()["Parameters"]
        for name, taken, refused in (
            ("EventBusName", "ticket-reservation-events-dev", ["default", "aws.partner/x/y"]),
            ("ScheduleGroupName", "reservation-expiry-dev", ["default", "a" * 65, ""]),
            ("MetricsNamespace", "TrafficTacos/ReservationWorker/dev", ["AWS/Lambda", 'a"b', ""]),
            ("SubnetIds", "subnet-0a,subnet-0b", ["subnet-0a,", "sg-0a"]),
            ("SecurityGroupIds", "sg-0a", ["sg-0a sg-0b"]),
            ("KmsKeyArn", stack.KEY, ["alias/queues", stack.KEY.replace("queues", "*")]),
            ("SecretArn", stack.SECRET, ["worker", stack.SECRET.replace("worker", "*")]),
        ):
            pattern = parameters[name]["AllowedPattern"]
            for value in (taken, parameters[name]["Default"]):
                self.assertRegex(value, pattern, name)
            for value in refused:
                self.assertNotRegex(value, pattern, name)

    def test_a_reserve_leaves_half_of_the_shortest_time_out(self):
        parameters = stack.source()["Parameters"]
        shortest = min(map(int, parameters["Timeout"]["AllowedValues"]))
        self.assertLessEqual(parameters["DeadlineReserveMs"]["MaxValue"], shortest * 1000 / 2)


class EventsIn(unittest.TestCase):
    @each_variant
    def test_each_type_reaches_the_queue_by_one_rule_in_its_reservations_group(self, name, made):
        rules = made.of_type("Events::Rule").values()
        types = [name for rule in rules for name in rule["EventPattern"]["detail-type"]]
        self.assertEqual((set(types), len(types)), (TYPES, len(TYPES)))
        for rule in rules:
            self.assertEqual(set(rule["EventPattern"]), {"detail-type"}, "a source too few loses events")
            self.assertEqual(
                rule["EventBusName"], "EventBus" if name == "own bus" else "ticket-reservation-events"
            )
            (target,) = rule["Targets"]
            self.assertEqual(target["Arn"], "EventQueue.Arn")
            self.assertEqual(target["SqsParameters"], {"MessageGroupId": "$.detail.reservation_id"})
            self.assertEqual(target["DeadLetterConfig"], {"Arn": "UndeliveredQueue.Arn"})
            longest = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
            self.assertEqual(target["RetryPolicy"], longest)
            self.assertEqual(rule["State"], "ENABLED")
        stopped = Stack({**SERVICES, "EventDelivery": "DISABLED"}).of_type("Events::Rule").values()
        self.assertEqual({rule["State"] for rule in stopped}, {"DISABLED"})
        # EventBridge does not deliver to a FIFO queue when it gives up.
        self.assertEqual(made["UndeliveredQueue"]["QueueName"], f"{STACK}-undelivered")
        self.assertEqual(made["HoldExpiries"]["Name"], "reservation-expiry")


if __name__ == "__main__":
    unittest.main()
