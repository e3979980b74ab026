"""The function, its permissions and its environments, held for each variant of the stack."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tomlkit
from samcli.cli.types import CfnParameterOverridesType

import stack
from stack import ACCOUNT, KEY, REGION, ROOT, SECRET, SERVICES, Stack, each_variant

# Sids of the statements whose resource is * because AWS knows none for their actions.
FORCED = {"Metrics", "Traces", "VpcLookup"}


def as_list(value):
    return value if isinstance(value, list) else [value]


def allowed(statement):
    """What a statement allows: actions, resources and the condition."""
    return set(as_list(statement["Action"])), as_list(statement["Resource"]), statement.get("Condition")


def via(service):
    return {"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}}


WORKER = {
    "Queue": (
        {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"},
        ["EventQueue.Arn"],
        None,
    ),
    "Logs": ({"logs:CreateLogStream", "logs:PutLogEvents"}, ["WorkerLogs.Arn"], None),
    "Metrics": (
        {"cloudwatch:PutMetricData"},
        ["*"],
        {"StringEquals": {"cloudwatch:namespace": "TrafficTacos/ReservationWorker"}},
    ),
    "Traces": ({"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, ["*"], None),
    "Secret": ({"secretsmanager:GetSecretValue"}, [SECRET], None),
    "SecretKey": ({"kms:Decrypt"}, [KEY], via("secretsmanager")),
    "QueueKey": ({"kms:Decrypt"}, [KEY], via("sqs")),
    # What AWSLambdaVPCAccessExecutionRole allows, less the log.
    "VpcInterfaces": (
        {
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
        },
        [f"arn:aws:ec2:{REGION}:{ACCOUNT}:*/*"],
        None,
    ),
    "VpcLookup": ({"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"}, ["*"], None),
}


class Function(unittest.TestCase):
    def test_a_new_release_is_a_new_version(self):
        def version(**more):
            return list(Stack({**SERVICES, **more}).of_type("Lambda::Version"))

        self.assertEqual(len(version()), 1)
        self.assertNotEqual(version(Release="a" * 64), version(Release="b" * 64))
        self.assertNotEqual(version(Release="a" * 64), version())

    def test_a_new_release_is_a_change_of_the_function_without_which_lambda_makes_no_version(self):
        releases = [{}, {"Release": "a" * 64}, {"Release": "b" * 64}]
        said = {Stack({**SERVICES, **release})["Worker"]["Description"] for release in releases}
        self.assertEqual(len(said), 3)
        self.assertLessEqual(max(map(len, said)), 256)

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
        vpc = {"SubnetIds": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0a"]}
        self.assertEqual(worker.get("VpcConfig"), vpc if name == "vpc" else None)
        self.assertEqual(worker.get("ReservedConcurrentExecutions"), "40" if name == "reserved" else None)
        self.assertEqual(stack.source()["Resources"]["Worker"]["Metadata"]["BuildMethod"], "rust-cargolambda")

    def test_each_variable_is_its_parameter(self):
        variables = Stack(SERVICES)["Worker"]["Environment"]["Variables"]
        self.assertEqual(variables["SQS_QUEUE_URL"], "EventQueue")
        for variable in set(variables) - {"SQS_QUEUE_URL", "USE_SECRET_MANAGER", "SECRET_NAME"}:
            parameter = "".join(word.capitalize() for word in variable.split("_"))
            parameter = parameter.replace("OtelExporterOtlp", "Otlp")
            made = Stack({**SERVICES, parameter: "given"})
            self.assertEqual(made["Worker"]["Environment"]["Variables"][variable], "given")

    def test_the_functions_settings_are_their_parameters(self):
        settings = {"Architecture": "x86_64", "MemorySize": "512", "Timeout": "60", "LogLevel": "WARN"}
        made = Stack({**SERVICES, **settings, "LogRetentionDays": "90", "BatchSize": "5"})
        worker = made["Worker"]
        said = [worker["Architectures"][0], worker["MemorySize"], worker["Timeout"]]
        self.assertEqual([*said, worker["LoggingConfig"]["ApplicationLogLevel"]], list(settings.values()))
        self.assertEqual((made["WorkerLogs"]["RetentionInDays"], made["WorkerQueue"]["BatchSize"]), ("90", "5"))

    @each_variant
    def test_outputs_name_what_was_made(self, _, made):
        ids = {
            "FunctionName": "Worker",
            "AliasArn": "WorkerAliaslive",
            "MappingId": "WorkerQueue",
            "LogGroup": "WorkerLogs",
            "AlarmTopicArn": "AlarmTopic",
            "ScheduleGroup": "HoldExpiries",
            "HoldExpiryRoleArn": "HoldExpiryRole.Arn",
        }
        for queue in ("EventQueue", "DeadLetterQueue", "UndeliveredQueue"):
            ids |= {f"{queue}Url": queue, f"{queue}Arn": f"{queue}.Arn"}
        outputs = dict(made.outputs)
        self.assertEqual(
            outputs.pop("DashboardUrl"),
            f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}"
            "#dashboards/dashboard/Dashboard",
        )
        self.assertEqual(outputs, ids)

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
        worker = self.roles(made)["WorkerRole"]
        self.assertEqual({statement["Sid"] for statement in worker}, expected)
        self.assertEqual({s["Sid"]: allowed(s) for s in worker}, {sid: WORKER[sid] for sid in expected})

    @each_variant
    def test_codedeploy_may_move_this_alias_alone(self, _, made):
        alias, alarms = self.roles(made)["DeploymentRole"]
        moves = {"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"}
        self.assertEqual(allowed(alias), (moves, ["Worker.Arn", "Worker.Arn:live"], None))
        of_the_account = [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"]
        self.assertEqual(allowed(alarms), ({"cloudwatch:DescribeAlarms"}, of_the_account, None))

    @each_variant
    def test_schedules_may_send_to_both_queues_and_no_more(self, name, made):
        expected = [({"sqs:SendMessage"}, ["EventQueue.Arn", "UndeliveredQueue.Arn"], None)]
        if name.endswith("key"):
            expected.append(({"kms:Decrypt", "kms:GenerateDataKey"}, [KEY], via("sqs")))
        self.assertEqual(list(map(allowed, self.roles(made)["HoldExpiryRole"])), expected)

    @each_variant
    def test_each_role_is_taken_on_by_its_service_alone(self, _, made):
        expected = {
            "WorkerRole": {"Principal": {"Service": "lambda.amazonaws.com"}},
            "DeploymentRole": {"Principal": {"Service": "codedeploy.amazonaws.com"}},
            "HoldExpiryRole": {
                "Principal": {"Service": "scheduler.amazonaws.com"},
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": ACCOUNT},
                    "ArnEquals": {"aws:SourceArn": "HoldExpiries.Arn"},
                },
            },
        }
        for role, trust in expected.items():
            statement = {"Effect": "Allow", "Action": "sts:AssumeRole", **trust}
            self.assertEqual(made[role]["AssumeRolePolicyDocument"]["Statement"], [statement])


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

    def test_a_bare_sam_deploy_does_not_keep_the_last_release(self):
        config = tomlkit.parse((ROOT / "samconfig.toml").read_text())
        for environment in ("default", "dev", "prod"):
            given = config[environment]["deploy"]["parameters"]["parameter_overrides"]
            self.assertEqual(CfnParameterOverridesType().convert(given, None, None)["Release"], "")
            self.assertRegex(self.parameters(environment)["Release"], "^[0-9a-f]{64}$")

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
