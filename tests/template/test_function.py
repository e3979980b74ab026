"""The function, its permissions and its environments, held for each variant of the stack."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from samcli.cli.types import CfnParameterOverridesType

import stack
from stack import ACCOUNT, ROOT, SECRET, SERVICES, Stack, each_variant

# Sids of the statements whose resource is * because AWS knows none for their actions.
FORCED = {"Metrics", "Traces", "VpcLookup"}


def as_list(value):
    return value if isinstance(value, list) else [value]


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


if __name__ == "__main__":
    unittest.main()
