"""The function, its permissions and its environments, checked for each variant of the stack."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tomlkit
from samcli.cli.types import CfnParameterOverridesType

from template import ACCOUNT, BUS, KEY, PAGES, REGION, ROOT, SECRET, SERVICES, TICKETS, Stack, each_variant, source

# Sids of the statements with the resource *, because their actions do not support resource ARNs.
WITHOUT_RESOURCE_ARNS = {"Metrics", "Traces", "VpcLookup", "NoVpcForTheCode"}


def as_list(value):
    return value if isinstance(value, list) else [value]


def allowed(statement):
    """The actions, the resources and the condition of a statement."""
    return set(as_list(statement["Action"])), as_list(statement["Resource"]), statement.get("Condition")


def via(service):
    """The condition that a KMS key is used through this service only."""
    return {"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}}


# The permissions of the worker's role, by Sid.
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
    # The permissions of AWSLambdaVPCAccessExecutionRole without those for the log.
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
# Lambda needs the permissions for the VPC, but the code of the function does not.
DENIED = (
    {"ec2:DetachNetworkInterface"} | WORKER["VpcInterfaces"][0] | WORKER["VpcLookup"][0],
    ["*"],
    {"ArnLike": {"lambda:SourceFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:*"}},
)


class Function(unittest.TestCase):
    def test_a_new_release_publishes_a_new_version(self):
        def version(**parameters):
            return list(Stack({**SERVICES, **parameters}).of_type("Lambda::Version"))

        self.assertEqual(len(version()), 1)
        self.assertNotEqual(version(Release="a" * 64), version(Release="b" * 64))
        self.assertNotEqual(version(Release="a" * 64), version())

    def test_a_new_release_changes_the_description_because_lambda_publishes_only_a_changed_function(self):
        releases = [{}, {"Release": "a" * 64}, {"Release": "b" * 64}]
        descriptions = {Stack({**SERVICES, **release})["Worker"]["Description"] for release in releases}
        self.assertEqual(len(descriptions), 3)
        self.assertLessEqual(max(map(len, descriptions)), 256)

    def test_the_description_contains_the_version(self):
        self.assertIn("Version 1.2.3", Stack({**SERVICES, "Version": "1.2.3"})["Worker"]["Description"])

    def test_the_code_must_be_signed_only_if_a_configuration_is_given(self):
        configuration = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"
        stack = Stack({**SERVICES, "CodeSigningConfigArn": configuration})
        self.assertEqual(stack["Worker"]["CodeSigningConfigArn"], configuration)
        self.assertNotIn("CodeSigningConfigArn", Stack(SERVICES)["Worker"])

    def test_each_role_has_the_permissions_boundary_if_one_is_given(self):
        boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
        for role in Stack({**SERVICES, "PermissionsBoundaryArn": boundary}).of_type("IAM::Role").values():
            self.assertEqual(role["PermissionsBoundary"], boundary)
        for role in Stack(SERVICES).of_type("IAM::Role").values():
            self.assertNotIn("PermissionsBoundary", role)

    def test_the_function_has_a_layer_only_if_one_is_given(self):
        layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:traffictacos-ca:1"
        stack = Stack({**SERVICES, "TlsCaFile": "/opt/ca.pem", "TlsCaLayerArn": layer})
        self.assertEqual(stack["Worker"]["Layers"], [layer])
        self.assertEqual(stack["Worker"]["Environment"]["Variables"]["TLS_CA_FILE"], "/opt/ca.pem")
        self.assertNotIn("Layers", Stack(SERVICES)["Worker"])

    @each_variant
    def test_a_deployment_rolls_back_on_the_alarms_of_the_new_version(self, name, stack):
        group = stack["WorkerDeploymentGroup"]
        alarms = [alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]]
        self.assertEqual(alarms, ["CanaryErrorsAlarm", "CanaryErrorRateAlarm"])
        self.assertIn("DEPLOYMENT_STOP_ON_ALARM", group["AutoRollbackConfiguration"]["Events"])
        (version,) = stack.of_type("Lambda::Version")
        dimensions = {d["Name"]: d["Value"] for d in stack["CanaryErrorsAlarm"]["Dimensions"]}
        self.assertEqual(dimensions["ExecutedVersion"], f"{version}.Version")
        self.assertEqual(dimensions["Resource"], "Worker:live")
        self.assertEqual(stack["WorkerAliaslive"]["Name"], "live")

    @each_variant
    def test_runtime_logging_and_network_are_configured(self, name, stack):
        worker = stack["Worker"]
        self.assertEqual((worker["Runtime"], worker["Handler"]), ("provided.al2023", "bootstrap"))
        self.assertEqual(worker["Architectures"], ["arm64"])
        self.assertEqual(worker["LoggingConfig"]["LogFormat"], "JSON")
        self.assertEqual(worker["LoggingConfig"]["LogGroup"], "WorkerLogs")
        self.assertEqual(stack["WorkerLogs"].get("KmsKeyId"), KEY if name.endswith("key") else None)
        self.assertEqual(worker["TracingConfig"], {"Mode": "Active"})
        vpc = {"SubnetIds": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0a"]}
        self.assertEqual(worker.get("VpcConfig"), vpc if name == "vpc" else None)
        self.assertEqual(worker.get("ReservedConcurrentExecutions"), "40" if name == "reserved" else None)
        self.assertEqual(source()["Resources"]["Worker"]["Metadata"]["BuildMethod"], "rust-cargolambda")

    def test_each_parameter_sets_its_variable(self):
        variables = Stack(SERVICES)["Worker"]["Environment"]["Variables"]
        self.assertEqual(variables["SQS_QUEUE_URL"], "EventQueue")
        for variable in set(variables) - {"SQS_QUEUE_URL", "USE_SECRET_MANAGER", "SECRET_NAME"}:
            parameter = "".join(word.capitalize() for word in variable.split("_"))
            parameter = parameter.replace("OtelExporterOtlp", "Otlp")
            stack = Stack({**SERVICES, parameter: "given"})
            self.assertEqual(stack["Worker"]["Environment"]["Variables"][variable], "given")

    def test_each_parameter_sets_its_property_of_the_function(self):
        settings = {"Architecture": "x86_64", "MemorySize": "512", "Timeout": "60", "LogLevel": "WARN"}
        stack = Stack({**SERVICES, **settings, "LogRetentionDays": "90", "BatchSize": "5"})
        worker = stack["Worker"]
        actual = [worker["Architectures"][0], worker["MemorySize"], worker["Timeout"]]
        self.assertEqual([*actual, worker["LoggingConfig"]["ApplicationLogLevel"]], list(settings.values()))
        self.assertEqual(stack["WorkerLogs"]["RetentionInDays"], "90")
        self.assertEqual(stack["WorkerQueue"]["BatchSize"], "5")

    @each_variant
    def test_outputs_refer_to_the_resources(self, name, stack):
        ids = {
            "FunctionName": "Worker",
            "AliasArn": "WorkerAliaslive",
            "MappingId": "WorkerQueue",
            "LogGroup": "WorkerLogs",
            "DeploymentApplication": "ServerlessDeploymentApplication",
            "DeploymentGroup": "WorkerDeploymentGroup",
            "PageTopicArn": PAGES if name == "other topics" else "PageTopic",
            "TicketTopicArn": TICKETS if name == "other topics" else "TicketTopic",
            "ScheduleGroup": "HoldExpiries",
            "HoldExpiryRoleArn": "HoldExpiryRole.Arn",
        }
        if name == "operators":
            ids["OperatorPolicyArn"] = "DeadLetterOperator"
        ids |= {"ReservationRuleArn": "ReservationEvents.Arn", "PaymentRuleArn": "PaymentEvents.Arn"}
        ids["EventBusArn"] = "EventBus.Arn" if name == "own bus" else BUS
        if name != "no smoke test":
            ids["SmokeTestName"] = "SmokeTest"
        if name != "no metrics":
            ids["ArchiveArn"] = "Archive.Arn"
        for queue in ("EventQueue", "DeadLetterQueue", "UndeliveredQueue", "UnmatchedQueue"):
            ids |= {f"{queue}Url": queue, f"{queue}Arn": f"{queue}.Arn"}
        outputs = dict(stack.outputs)
        self.assertEqual(
            outputs.pop("DashboardUrl"),
            f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}"
            "#dashboards/dashboard/Dashboard",
        )
        self.assertEqual(outputs, ids)

    @each_variant
    def test_the_token_is_never_a_variable(self, name, stack):
        variables = stack["Worker"]["Environment"]["Variables"]
        self.assertNotIn("RESERVATION_API_TOKEN", variables)
        secret = ("true", SECRET) if name == "secret" else ("false", "")
        self.assertEqual((variables["USE_SECRET_MANAGER"], variables["SECRET_NAME"]), secret)


class Permissions(unittest.TestCase):
    def roles(self, stack):
        return {
            role: [s for policy in properties["Policies"] for s in policy["PolicyDocument"]["Statement"]]
            for role, properties in stack.of_type("IAM::Role").items()
        }

    @each_variant
    def test_only_actions_without_resource_arns_have_a_wildcard_resource(self, _, stack):
        for statements in self.roles(stack).values():
            for statement in statements:
                is_wildcard = "*" in as_list(statement["Resource"])
                self.assertEqual(is_wildcard, statement["Sid"] in WITHOUT_RESOURCE_ARNS, statement)
                for action in as_list(statement["Action"]):
                    self.assertNotIn("*", action)

    @each_variant
    def test_there_is_one_role_for_each_purpose_and_no_managed_policy(self, name, stack):
        roles = {"WorkerRole", "DeploymentRole", "HoldExpiryRole"}
        roles |= {"HeartbeatRole"} if name != "no metrics" else set()
        roles |= {"SmokeTestRole"} if name != "no smoke test" else set()
        self.assertEqual(set(self.roles(stack)), roles)
        for role in stack.of_type("IAM::Role").values():
            self.assertNotIn("ManagedPolicyArns", role)

    @each_variant
    def test_the_worker_has_exactly_the_permissions_that_its_parameters_require(self, name, stack):
        expected = {"Queue", "Logs", "Traces"}
        expected |= {"Metrics"} if name not in ("all at once", "no metrics") else set()
        expected |= {"Secret", "SecretKey"} if name == "secret" else set()
        expected |= {"QueueKey"} if name.endswith("key") else set()
        expected |= {"VpcInterfaces", "VpcLookup"} if name == "vpc" else set()
        worker = self.roles(stack)["WorkerRole"]
        denied = [allowed(statement) for statement in worker if statement["Effect"] == "Deny"]
        self.assertEqual(denied, [DENIED] if name == "vpc" else [])
        worker = [statement for statement in worker if statement["Effect"] == "Allow"]
        self.assertEqual({statement["Sid"] for statement in worker}, expected)
        self.assertEqual({s["Sid"]: allowed(s) for s in worker}, {sid: WORKER[sid] for sid in expected})

    @each_variant
    def test_the_policy_of_the_operators_exists_only_on_request(self, name, stack):
        policies = stack.of_type("IAM::ManagedPolicy")
        self.assertEqual(set(policies), {"DeadLetterOperator"} if name == "operators" else set())

    def test_operators_have_exactly_the_permissions_that_dead_letters_needs(self):
        letters = ["DeadLetterQueue.Arn", "UndeliveredQueue.Arn", "UnmatchedQueue.Arn"]
        expected = {
            "Letters": (
                {"sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
                letters,
                None,
            ),
            "Redrive": ({"sqs:SendMessage", "sqs:GetQueueAttributes"}, ["EventQueue.Arn"], None),
            "SearchLog": ({"logs:StartQuery"}, ["WorkerLogs.Arn"], None),
            "ReadQuery": ({"logs:GetQueryResults", "logs:StopQuery"}, ["*"], None),
            "Outputs": ({"cloudformation:DescribeStacks"}, ["AWS::StackId"], None),
        }
        key = {"QueueKey": ({"kms:Decrypt", "kms:GenerateDataKey"}, [KEY], via("sqs"))}
        secret = {sid: WORKER[sid] for sid in ("Secret", "SecretKey")}
        requested = {**SERVICES, "CreateOperatorPolicy": "true"}
        for parameters, statements in (
            (requested, expected),
            ({**requested, "KmsKeyArn": KEY}, expected | key),
            ({**requested, "SecretArn": SECRET, "SecretKmsKeyArn": KEY}, expected | secret),
        ):
            policy = Stack(parameters)["DeadLetterOperator"]["PolicyDocument"]["Statement"]
            self.assertEqual({statement["Sid"]: allowed(statement) for statement in policy}, statements)

    @each_variant
    def test_codedeploy_can_update_only_this_alias_and_run_the_smoke_test(self, name, stack):
        alias, *hooks, alarms = self.roles(stack)["DeploymentRole"]
        smoke_test = ({"lambda:InvokeFunction"}, ["SmokeTest.Arn"], None)
        self.assertEqual(list(map(allowed, hooks)), [] if name == "no smoke test" else [smoke_test])
        actions = {"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"}
        self.assertEqual(allowed(alias), (actions, ["Worker.Arn", "Worker.Arn:live"], None))
        alarms_of_the_account = [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"]
        self.assertEqual(allowed(alarms), ({"cloudwatch:DescribeAlarms"}, alarms_of_the_account, None))

    @each_variant
    def test_schedules_can_only_send_to_the_event_queue_and_the_undelivered_queue(self, name, stack):
        expected = [({"sqs:SendMessage"}, ["EventQueue.Arn", "UndeliveredQueue.Arn"], None)]
        if name.endswith("key"):
            expected.append(({"kms:Decrypt", "kms:GenerateDataKey"}, [KEY], via("sqs")))
        self.assertEqual(list(map(allowed, self.roles(stack)["HoldExpiryRole"])), expected)

    @each_variant
    def test_the_schedule_can_only_send_heartbeats_to_the_bus(self, name, stack):
        if name == "no metrics":
            return
        (statement,) = self.roles(stack)["HeartbeatRole"]
        heartbeat = {"events:source": "reservation-worker", "events:detail-type": "worker.heartbeat"}
        bus = "EventBus.Arn" if name == "own bus" else BUS
        self.assertEqual(allowed(statement), ({"events:PutEvents"}, [bus], {"StringEquals": heartbeat}))

    @each_variant
    def test_each_role_trusts_only_its_service(self, name, stack):
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
        if name != "no metrics":
            group = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/default"
            expected["HeartbeatRole"] = {
                "Principal": {"Service": "scheduler.amazonaws.com"},
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": ACCOUNT},
                    "ArnEquals": {"aws:SourceArn": group},
                },
            }
        if name != "no smoke test":
            expected["SmokeTestRole"] = {"Principal": {"Service": "lambda.amazonaws.com"}}
        self.assertEqual(set(expected), set(self.roles(stack)))
        for role, trust in expected.items():
            statement = {"Effect": "Allow", "Action": "sts:AssumeRole", **trust}
            self.assertEqual(stack[role]["AssumeRolePolicyDocument"]["Statement"], [statement])


class Environments(unittest.TestCase):
    def parameters(self, environment, code=b"code"):
        """The parameters that `make deploy` passes to sam, parsed as sam parses them."""
        with tempfile.TemporaryDirectory() as directory:
            bootstrap = Path(directory, "bootstrap")
            bootstrap.write_bytes(code)
            command = [sys.executable, ".ci/parameters.py", str(bootstrap), directory]
            subprocess.run(command, cwd=ROOT, check=True)
            written = Path(directory, f"parameters.{environment}").read_text()
        return CfnParameterOverridesType().convert(written.split(), None, None)

    def test_the_parameters_of_each_environment_are_valid(self):
        known = set(source()["Parameters"])
        for environment in ("default", "dev", "prod"):
            parameters = self.parameters(environment)
            self.assertLessEqual(set(parameters), known)
            # Somebody must enter who receives the alarms of prod before the first deployment.
            refused = ["ProdHasReceivers"] if environment == "prod" else []
            self.assertEqual(Stack(parameters).violated_rules(), refused)
            self.assertEqual(Stack({**parameters, "AlarmEmail": "on-call@example.com"}).violated_rules(), [])

    def test_prod_uses_tls(self):
        parameters = self.parameters("prod")
        for service in ("InventoryGrpcAddr", "ReservationApiBase"):
            self.assertRegex(parameters[service], "^https://")

    def test_a_plain_sam_deploy_does_not_reuse_the_previous_release(self):
        config = tomlkit.parse((ROOT / "samconfig.toml").read_text())
        for environment in ("default", "dev", "prod"):
            overrides = config[environment]["deploy"]["parameters"]["parameter_overrides"]
            self.assertEqual(CfnParameterOverridesType().convert(overrides, None, None)["Release"], "")
            self.assertRegex(self.parameters(environment)["Release"], "^[0-9a-f]{64}$")

    def test_a_deployment_passes_the_version_of_the_code_and_a_plain_sam_deploy_does_not_keep_the_previous_one(self):
        version = tomlkit.parse((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
        config = tomlkit.parse((ROOT / "samconfig.toml").read_text())
        for environment in ("default", "dev", "prod"):
            overrides = config[environment]["deploy"]["parameters"]["parameter_overrides"]
            self.assertIn("Version=unknown", overrides)
            self.assertEqual(self.parameters(environment)["Version"], version)

    def test_the_release_depends_on_code_and_parameters(self):
        releases = {
            self.parameters(*arguments)["Release"] for arguments in (("dev",), ("prod",), ("dev", b"new"))
        }
        self.assertEqual(len(releases), 3)
        self.assertEqual(self.parameters("dev"), self.parameters("dev"))

    def test_dev_and_prod_can_be_deployed_to_the_same_region(self):
        dev, prod = Stack(self.parameters("dev")), Stack(self.parameters("prod"))
        for resource, name in (("HoldExpiries", "Name"), ("ReservationEvents", "EventBusName")):
            self.assertNotEqual(dev[resource][name], prod[resource][name])
        variables = [stack["Worker"]["Environment"]["Variables"] for stack in (dev, prod)]
        self.assertEqual(len({variable["METRICS_NAMESPACE"] for variable in variables}), 2)


if __name__ == "__main__":
    unittest.main()
