"""The smoke test of a deployment: its code in the template, with Lambda and CodeDeploy replaced.

tests/suite/smoke_test.rs sends the same event to the worker."""

import base64
import io
import json
import os
import unittest
from pathlib import Path
from unittest import mock

from template import SERVICES, Stack, each_variant

REJECTED = {"batchItemFailures": [{"itemIdentifier": "rejected"}]}
LINE = '{"level":"ERROR","outcome":"failed","reason_code":"reservation_api_rejected"}\n'
QUEUE = "arn:aws:sqs:ap-northeast-2:123456789012:worker-events"
EVENT = json.loads(Path(__file__).with_name("smoke_test.json").read_text())
HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}


class Aws:
    """Lambda with an alias, and CodeDeploy."""

    def __init__(self, alias_version, answer, log):
        self.alias_version, self.answer, self.log = alias_version, answer, log
        self.invoked, self.statuses = [], []

    def client(self, service):
        return self

    def get_alias(self, FunctionName, Name):
        assert (FunctionName, Name) == ("worker", "live")
        return {"FunctionVersion": self.alias_version}

    def invoke(self, FunctionName, Qualifier, LogType, Payload):
        assert (FunctionName, LogType) == ("worker", "Tail")
        self.invoked.append((Qualifier, json.loads(Payload)))
        payload = io.BytesIO(json.dumps(self.answer).encode())
        return {"Payload": payload, "LogResult": base64.b64encode(self.log.encode()).decode()}

    def put_lifecycle_event_hook_execution_status(self, **status):
        self.statuses.append(status)


class SmokeTest(unittest.TestCase):
    def run_hook(self, hook=HOOK, alias="6", answer=REJECTED, log=LINE, wait="0"):
        """Runs the smoke test of version 7. Returns the replaced services and the seconds that it waited."""
        aws, waits = Aws(alias, answer, log), []
        code = Stack(SERVICES)["SmokeTest"]["Code"]["ZipFile"]
        variables = {"FUNCTION": "worker", "VERSION": "7", "QUEUE_ARN": QUEUE, "WAIT_SECONDS": wait}
        with mock.patch.dict(os.environ, variables), mock.patch("boto3.client", aws.client):
            with mock.patch("time.sleep", waits.append), mock.patch("builtins.print"):
                module = {}
                exec(code, module)
                module["handler"](hook, None)
        return aws, waits

    def test_before_the_shift_it_tests_the_new_version_and_after_the_shift_the_alias(self):
        for alias, qualifier in (("6", "7"), ("7", "live")):
            aws, _ = self.run_hook(alias=alias)
            self.assertEqual(aws.invoked, [(qualifier, EVENT)])
            expected = {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "hook-1", "status": "Succeeded"}
            self.assertEqual(aws.statuses, [expected])

    def test_a_wrong_answer_fails_the_deployment(self):
        both = {"batchItemFailures": [{"itemIdentifier": "ignored"}, {"itemIdentifier": "rejected"}]}
        unavailable = LINE.replace("rejected", "unavailable")
        for answer, log in (
            ({"batchItemFailures": []}, LINE),
            (both, LINE),
            ({"errorType": "Runtime.ExitError"}, LINE),
            (REJECTED, ""),
            (REJECTED, unavailable),
            (REJECTED, LINE.replace("rejected", "denied")),
        ):
            for alias in ("6", "7"):
                aws, waits = self.run_hook(alias=alias, answer=answer, log=log, wait="180")
                self.assertEqual([status["status"] for status in aws.statuses], ["Failed"], answer)
                self.assertEqual(waits, [], "a rollback does not wait")

    def test_only_after_the_shift_it_waits_for_the_alarms(self):
        self.assertEqual(self.run_hook(alias="6", wait="180")[1], [])
        self.assertEqual(self.run_hook(alias="7", wait="180")[1], [180])

    def test_by_hand_it_reports_a_problem_as_an_error(self):
        aws, waits = self.run_hook(hook={}, alias="7", wait="180")
        self.assertEqual((aws.statuses, waits), ([], []))
        with self.assertRaisesRegex(RuntimeError, "version 7 answered"):
            self.run_hook(hook={}, alias="7", answer={"batchItemFailures": []})

    @each_variant
    def test_each_type_of_deployment_runs_it_before_and_after_the_shift(self, name, stack):
        update = stack.resources["WorkerAliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        hooks = [update.get("BeforeAllowTrafficHook"), update.get("AfterAllowTrafficHook")]
        self.assertEqual(hooks, [None, None] if name == "no smoke test" else ["SmokeTest", "SmokeTest"])
        if name == "no smoke test":
            self.assertNotIn("SmokeTest", stack.resources)
            return
        function = stack["SmokeTest"]
        (version,) = stack.of_type("Lambda::Version")
        wait = "180" if name == "all at once" else "0"
        expected = {
            "FUNCTION": "Worker",
            "VERSION": f"{version}.Version",
            "QUEUE_ARN": "EventQueue.Arn",
            "WAIT_SECONDS": wait,
        }
        self.assertEqual(function["Environment"]["Variables"], expected)
        self.assertGreater(function["Timeout"], int(wait) + 60)
        self.assertEqual(function["LoggingConfig"]["LogGroup"], "WorkerLogs")
        self.assertLessEqual(len(function["Code"]["ZipFile"]), 4096, "the limit of CloudFormation")

    @each_variant
    def test_it_can_only_invoke_the_worker_and_report_its_result(self, name, stack):
        if name == "no smoke test":
            return
        (policy,) = stack["SmokeTestRole"]["Policies"]
        allowed = {s["Sid"]: (s["Action"], s["Resource"]) for s in policy["PolicyDocument"]["Statement"]}
        group = "arn:aws:codedeploy:ap-northeast-2:123456789012:deploymentgroup:ServerlessDeploymentApplication/*"
        expected = {
            "Worker": (["lambda:InvokeFunction", "lambda:GetAlias"], ["Worker.Arn", "Worker.Arn:*"]),
            "Result": ("codedeploy:PutLifecycleEventHookExecutionStatus", group),
            "Logs": (["logs:CreateLogStream", "logs:PutLogEvents"], "WorkerLogs.Arn"),
        }
        self.assertEqual(allowed, expected)


if __name__ == "__main__":
    unittest.main()
