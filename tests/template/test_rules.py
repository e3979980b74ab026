"""What a reviewer would look for, held for each variant of the stack."""

import functools
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from samcli.cli.types import CfnParameterOverridesType

import stack
from stack import ACCOUNT, KEY, REGION, ROOT, SECRET, SERVICES, STACK, VARIANTS, Stack

# Sids of the statements whose resource is * because AWS knows none for their actions.
FORCED = {"Metrics", "Traces", "VpcLookup"}
TYPES = {
    "reservation.expired",
    "reservation.hold.expired",
    "payment.approved",
    "payment.failed",
    "Payment Status Updated",
}


def as_list(value):
    return value if isinstance(value, list) else [value]


def each_variant(test):
    """Runs a test for every variant of the stack."""

    @functools.wraps(test)
    def run(self):
        for name, parameters in VARIANTS.items():
            with self.subTest(name):
                test(self, name, Stack(parameters))

    return run


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
        # A message keeps its age when it is moved: it must not be too old to be kept.
        self.assertLess(queue["MessageRetentionPeriod"], dead["MessageRetentionPeriod"])

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
        }.items():
            self.assertEqual(Stack({**SERVICES, **more}).refused_by(), [broken])
        fifo = {**SERVICES, "QueueType": "fifo", "BatchingWindow": "1"}
        self.assertEqual(Stack(fifo).refused_by(), ["FifoTakesTenAndNoWindow"])


class Function(unittest.TestCase):
    def test_a_new_release_is_a_new_version(self):
        def version(**more):
            return list(Stack({**SERVICES, **more}).of_type("Lambda::Version"))

        self.assertEqual(len(version()), 1)
        self.assertNotEqual(version(Release="a" * 64), version(Release="b" * 64))
        self.assertNotEqual(version(Release="a" * 64), version())

    @each_variant
    def test_a_canary_listens_to_the_new_versions_alarms(self, name, made):
        group = made["WorkerDeploymentGroup"]
        alarms = [alarm["Name"] for alarm in group["AlarmConfiguration"].get("Alarms", [])]
        self.assertEqual(alarms, [] if name == "at once" else ["CanaryErrorsAlarm", "ErrorRateAlarm"])
        self.assertIn("DEPLOYMENT_STOP_ON_ALARM", group["AutoRollbackConfiguration"]["Events"])
        (version,) = made.of_type("Lambda::Version")
        dimensions = {d["Name"]: d["Value"] for d in made["CanaryErrorsAlarm"]["Dimensions"]}
        self.assertEqual(dimensions["ExecutedVersion"], f"{version}.Version")
        self.assertEqual(dimensions["Resource"], "Worker:live")
        self.assertEqual(made["WorkerAliaslive"]["Name"], "live")

    @each_variant
    def test_it_is_built_for_the_runtime_that_it_names(self, name, made):
        worker = made["Worker"]
        self.assertEqual((worker["Runtime"], worker["Handler"]), ("provided.al2023", "bootstrap"))
        self.assertEqual(worker["Architectures"], ["arm64"])
        self.assertEqual(worker["LoggingConfig"]["LogFormat"], "JSON")
        self.assertEqual(worker["LoggingConfig"]["LogGroup"], "WorkerLogs")
        self.assertEqual(worker["TracingConfig"], {"Mode": "Active"})
        self.assertEqual("VpcConfig" in worker, name == "vpc")
        self.assertEqual(worker.get("ReservedConcurrentExecutions"), "40" if name == "reserved" else None)
        self.assertEqual(stack.source()["Resources"]["Worker"]["Metadata"]["BuildMethod"], "rust-cargolambda")

    @each_variant
    def test_the_token_is_in_the_secret_or_nowhere(self, name, made):
        variables = made["Worker"]["Environment"]["Variables"]
        self.assertNotIn("RESERVATION_API_TOKEN", variables)
        secret = ("true", SECRET) if name == "secret" else ("false", "")
        self.assertEqual((variables["USE_SECRET_MANAGER"], variables["SECRET_NAME"]), secret)


class Permissions(unittest.TestCase):
    def roles(self, made):
        return {
            role: [s for policy in properties["Policies"] for s in policy["PolicyDocument"]["Statement"]]
            for role, properties in made.of_type("IAM::Role").items()
        }

    @each_variant
    def test_no_resource_is_everything_unless_aws_forces_it(self, _, made):
        for statements in self.roles(made).values():
            for statement in statements:
                everything = "*" in as_list(statement["Resource"])
                self.assertEqual(everything, statement["Sid"] in FORCED, statement)
                for action in as_list(statement["Action"]):
                    self.assertNotIn("*", action)

    @each_variant
    def test_there_are_three_roles_and_no_managed_policy(self, _, made):
        self.assertEqual(set(self.roles(made)), {"WorkerRole", "DeploymentRole", "HoldExpiryRole"})
        for role in made.of_type("IAM::Role").values():
            self.assertNotIn("ManagedPolicyArns", role)

    @each_variant
    def test_the_worker_may_do_what_its_settings_need_and_no_more(self, name, made):
        expected = {"Queue", "Logs", "Traces"}
        expected |= {"Metrics"} if name != "at once" else set()
        expected |= {"Secret", "SecretKey"} if name == "secret" else set()
        expected |= {"QueueKey"} if name.endswith("key") else set()
        expected |= {"VpcInterfaces", "VpcLookup"} if name == "vpc" else set()
        worker = {statement["Sid"]: statement for statement in self.roles(made)["WorkerRole"]}
        self.assertEqual(set(worker), expected)
        self.assertEqual(worker["Queue"]["Resource"], "EventQueue.Arn")
        self.assertEqual(
            set(worker["Queue"]["Action"]),
            {
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
                "sqs:GetQueueAttributes",
            },
        )
        if name != "at once":
            namespace = {"StringEquals": {"cloudwatch:namespace": "TrafficTacos/ReservationWorker"}}
            self.assertEqual(worker["Metrics"]["Condition"], namespace)

    @each_variant
    def test_codedeploy_may_move_this_alias_alone(self, _, made):
        alias, alarms = self.roles(made)["DeploymentRole"]
        self.assertEqual(alias["Resource"], ["Worker.Arn", "Worker.Arn:live"])
        self.assertEqual(alarms["Action"], "cloudwatch:DescribeAlarms")

    @each_variant
    def test_only_schedules_of_the_group_take_on_the_expiry_role(self, _, made):
        (trust,) = made["HoldExpiryRole"]["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(trust["Condition"]["ArnEquals"], {"aws:SourceArn": "HoldExpiries.Arn"})
        self.assertEqual(trust["Condition"]["StringEquals"], {"aws:SourceAccount": ACCOUNT})
        queues = ["EventQueue.Arn", "UndeliveredQueue.Arn"]
        self.assertEqual(self.roles(made)["HoldExpiryRole"][0]["Resource"], queues)


class Environments(unittest.TestCase):
    def parameters(self, environment, code=b"code"):
        """What make deploy hands to sam, as sam reads it."""
        with tempfile.TemporaryDirectory() as directory:
            bootstrap = Path(directory, "bootstrap")
            bootstrap.write_bytes(code)
            command = [sys.executable, ".ci/parameters.py", environment, str(bootstrap)]
            printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return CfnParameterOverridesType().convert(printed.split(), None, None)

    def test_each_can_be_deployed(self):
        known = set(stack.source()["Parameters"])
        for environment in ("default", "dev", "prod"):
            parameters = self.parameters(environment)
            self.assertLessEqual(set(parameters), known)
            self.assertEqual(Stack(parameters).refused_by(), [])

    def test_code_and_parameters_make_the_release(self):
        releases = {
            self.parameters(*deployed)["Release"] for deployed in (("dev",), ("prod",), ("dev", b"new"))
        }
        self.assertEqual(len(releases), 3)
        self.assertEqual(self.parameters("dev"), self.parameters("dev"))

    def test_dev_and_prod_can_stand_side_by_side(self):
        dev, prod = Stack(self.parameters("dev")), Stack(self.parameters("prod"))
        for resource, name in (("HoldExpiries", "Name"), ("ReservationEvents", "EventBusName")):
            self.assertNotEqual(dev[resource][name], prod[resource][name])
        namespaces = {made["Worker"]["Environment"]["Variables"]["METRICS_NAMESPACE"] for made in (dev, prod)}
        self.assertEqual(len(namespaces), 2)


class EventsIn(unittest.TestCase):
    @each_variant
    def test_each_type_reaches_the_queue_by_one_rule_in_its_reservations_group(self, name, made):
        rules = made.of_type("Events::Rule").values()
        types = [name for rule in rules for name in rule["EventPattern"]["detail-type"]]
        self.assertEqual((set(types), len(types)), (TYPES, len(TYPES)))
        for rule in rules:
            self.assertEqual(
                rule["EventBusName"], "EventBus" if name == "own bus" else "ticket-reservation-events"
            )
            (target,) = rule["Targets"]
            self.assertEqual(target["Arn"], "EventQueue.Arn")
            self.assertEqual(target["SqsParameters"], {"MessageGroupId": "$.detail.reservation_id"})
            self.assertEqual(target["DeadLetterConfig"], {"Arn": "UndeliveredQueue.Arn"})
            self.assertGreater(target["RetryPolicy"]["MaximumEventAgeInSeconds"], 3600)
        # EventBridge does not deliver to a FIFO queue when it gives up.
        self.assertEqual(made["UndeliveredQueue"]["QueueName"], f"{STACK}-undelivered")
        self.assertEqual(made["HoldExpiries"]["Name"], "reservation-expiry")


if __name__ == "__main__":
    unittest.main()
