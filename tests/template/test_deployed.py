"""Deploys the template into moto and compares the created resources with the template."""

import ast
import io
import json
import os
import unittest
import warnings
import zipfile

from template import ACCOUNT, REGION, STACK_NAME, VARIANTS, Stack, transformed
from test_alarms import all_alarms
from test_queues import FORWARDING

os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any")

import boto3  # noqa: E402 (it reads the environment when it is imported)
from moto import mock_aws  # noqa: E402

# Types that CloudFormation in moto does not support. The tests create resources of the first three types
# with the API of their service. moto has no composite alarms at all.
UNSUPPORTED = {
    "AWS::CloudWatch::Alarm",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::Lambda::Alias",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::TopicPolicy",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
}
BUS_NAME = "ticket-reservation-events"
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm"
GROUP = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/reservation-expiry"


def supported_part(parameters):
    """The template without the resources that moto does not support.

    References to these resources are replaced by their values."""
    template, expected = json.loads(transformed(parameters)), Stack(parameters)
    arns = {name: f"{ALARM}:{alarm['AlarmName']}" for name, alarm in all_alarms(expected).items()}
    arns["HoldExpiries"] = GROUP
    text = json.dumps({n: r for n, r in template["Resources"].items() if r["Type"] not in UNSUPPORTED})
    for name, arn in arns.items():
        text = text.replace(json.dumps({"Fn::GetAtt": [name, "Arn"]}), json.dumps(arn))
        text = text.replace(f"${{{name}.Arn}}", arn)
    text = text.replace(json.dumps({"Ref": "WorkerAliaslive"}), json.dumps({"Ref": "Worker"}))
    text = text.replace("${ServerlessDeploymentApplication}", "application")
    (version,) = expected.of_type("Lambda::Version")
    text = text.replace(json.dumps({"Fn::GetAtt": [version, "Version"]}), '"1"')
    return {**template, "Resources": json.loads(text), "Outputs": {}}


class Deployed:
    def setUp(self):
        warnings.simplefilter("ignore")
        mock = mock_aws(config={"lambda": {"use_docker": False}})
        mock.start()
        self.addCleanup(mock.stop)
        self.expected = self.deploy(VARIANTS[self.variant])

    def deploy(self, parameters):
        """Creates the stack. Returns the template evaluated with the actual names and ARNs."""
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("bootstrap", "")
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="artifacts", Key="bootstrap.zip", Body=code.getvalue())
        boto3.client("events").create_event_bus(Name=BUS_NAME)
        cloudformation = boto3.client("cloudformation")
        cloudformation.create_stack(
            StackName=STACK_NAME,
            TemplateBody=json.dumps(supported_part(parameters)),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        summaries = cloudformation.list_stack_resources(StackName=STACK_NAME)["StackResourceSummaries"]
        self.ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in summaries}
        expected = Stack(parameters, self.known_values())
        self.create_unsupported_part(expected)
        return expected

    def known_values(self):
        """The names and ARNs that moto has assigned, by the symbol in the template."""
        sqs, events = boto3.client("sqs"), boto3.client("events")
        known = {**self.ids, "HoldExpiries.Arn": GROUP}
        for name, alarm in all_alarms(Stack(VARIANTS[self.variant])).items():
            known |= {name: alarm["AlarmName"], f"{name}.Arn": f"{ALARM}:{alarm['AlarmName']}"}
        for queue in (name for name in self.ids if name.endswith("Queue") and name != "WorkerQueue"):
            known[f"{queue}.Arn"] = sqs.get_queue_attributes(
                QueueUrl=self.ids[queue], AttributeNames=["QueueArn"]
            )["Attributes"]["QueueArn"]
            known[f"{queue}.QueueName"] = self.ids[queue].rsplit("/", 1)[1]
        # moto lists the internal rule of the archive, too.
        rules = {rule["Name"]: rule["Arn"] for rule in events.list_rules(EventBusName=BUS_NAME)["Rules"]}
        for name in (*FORWARDING, "UnmatchedEvents"):
            (known[f"{name}.Arn"],) = [arn for rule, arn in rules.items() if name in rule]
        return known

    def create_unsupported_part(self, expected):
        for policy in expected.of_type("SQS::QueuePolicy").values():
            (queue,) = policy["Queues"]
            document = json.dumps(policy["PolicyDocument"])
            boto3.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": document})
        for alarm in expected.of_type("CloudWatch::Alarm").values():
            boto3.client("cloudwatch").put_metric_alarm(**alarm)
        boto3.client("scheduler").create_schedule_group(**expected["HoldExpiries"])

    def disable_the_mapping(self):
        boto3.client("lambda").update_event_source_mapping(UUID=self.ids["WorkerQueue"], Enabled=False)

    def test_queues_have_their_attributes(self):
        sqs = boto3.client("sqs")
        for name, properties in self.expected.of_type("SQS::Queue").items():
            attributes = sqs.get_queue_attributes(QueueUrl=self.ids[name], AttributeNames=["All"])[
                "Attributes"
            ]
            for key, value in properties.items():
                if key == "RedriveAllowPolicy":
                    continue  # moto does not store it
                if key == "QueueName":
                    self.assertTrue(attributes["QueueArn"].endswith(f":{value}"))
                elif isinstance(value, dict):
                    actual = json.loads(attributes[key])
                    self.assertEqual(
                        {k: str(v) for k, v in actual.items()}, {k: str(v) for k, v in value.items()}
                    )
                else:
                    self.assertEqual(attributes[key].lower(), str(value).lower(), key)

    def test_a_message_moves_to_the_dead_letter_queue_after_the_last_receive(self):
        self.disable_the_mapping()
        sqs = boto3.client("sqs")
        group = {"MessageGroupId": "rsv_1"} if "FifoQueue" in self.expected["EventQueue"] else {}

        def receive(queue):
            return sqs.receive_message(QueueUrl=self.ids[queue], VisibilityTimeout=0).get("Messages", [])

        sqs.send_message(QueueUrl=self.ids["EventQueue"], MessageBody="{}", **group)
        for _ in range(int(self.expected["EventQueue"]["RedrivePolicy"]["maxReceiveCount"])):
            (message,) = receive("EventQueue")
        self.assertEqual(receive("EventQueue"), [])
        (dead_letter,) = receive("DeadLetterQueue")
        self.assertEqual(dead_letter["MessageId"], message["MessageId"])

    def test_roles_and_queues_have_their_policies(self):
        iam, sqs = boto3.client("iam"), boto3.client("sqs")
        for role, properties in self.expected.of_type("IAM::Role").items():
            for policy in properties["Policies"]:
                actual = iam.get_role_policy(RoleName=self.ids[role], PolicyName=policy["PolicyName"])
                # moto returns the document as a Python literal, not as JSON.
                statements = ast.literal_eval(actual["PolicyDocument"])["Statement"]
                sids = [statement["Sid"] for statement in policy["PolicyDocument"]["Statement"]]
                self.assertEqual([statement["Sid"] for statement in statements if statement], sids)
            trust = iam.get_role(RoleName=self.ids[role])["Role"]["AssumeRolePolicyDocument"]
            self.assertEqual(trust, properties["AssumeRolePolicyDocument"])
        attributes = sqs.get_queue_attributes(QueueUrl=self.ids["EventQueue"], AttributeNames=["All"])
        senders, _ = json.loads(attributes["Attributes"]["Policy"])["Statement"]
        rules = [self.known_values()[f"{rule}.Arn"] for rule in FORWARDING]
        self.assertEqual(senders["Condition"]["ArnEquals"]["aws:SourceArn"], rules)

    def test_the_mapping_connects_the_queue_to_the_function(self):
        (mapping,) = boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        attributes = boto3.client("sqs").get_queue_attributes(
            QueueUrl=self.ids["EventQueue"], AttributeNames=["QueueArn"]
        )
        self.assertEqual(mapping["EventSourceArn"], attributes["Attributes"]["QueueArn"])
        self.assertEqual(mapping["BatchSize"], int(self.expected["WorkerQueue"]["BatchSize"]))
        function = boto3.client("lambda").get_function_configuration(FunctionName=self.ids["Worker"])
        variables = function["Environment"]["Variables"]
        self.assertEqual(variables["SQS_QUEUE_URL"], self.ids["EventQueue"])
        self.assertEqual(str(variables["MAX_RETRIES"]), "5")

    def test_the_dashboard_shows_the_alarms_and_the_queue(self):
        cloudwatch = boto3.client("cloudwatch")
        described = cloudwatch.describe_alarms()["MetricAlarms"]
        # moto adds empty dimensions to a metric without dimensions.
        described = json.loads(json.dumps(described, default=str).replace(', "Dimensions": []', ""))
        alarms = {alarm["AlarmName"]: alarm for alarm in described}
        for alarm in self.expected.of_type("CloudWatch::Alarm").values():
            actual = alarms.pop(alarm["AlarmName"])
            for key, value in alarm.items():
                self.assertEqual(actual[key], value)
        self.assertEqual(alarms, {})
        body = json.loads(cloudwatch.get_dashboard(DashboardName=STACK_NAME)["DashboardBody"])
        shown = {arn.rsplit(":", 1)[1] for arn in body["widgets"][0]["properties"]["alarms"]}
        self.assertEqual(shown, {alarm["AlarmName"] for alarm in all_alarms(self.expected).values()})
        (depth,) = [w for w in body["widgets"] if w["properties"]["title"] == "Queue depth"]
        self.assertEqual(depth["properties"]["metrics"][0][3], self.expected["EventQueue"]["QueueName"])


class Standard(Deployed, unittest.TestCase):
    variant = "standard"


class Fifo(Deployed, unittest.TestCase):
    variant = "fifo"

    # Only on a FIFO queue: EventBridge in moto does not support message groups on standard queues.
    def test_the_rules_forward_an_event_and_keep_one_with_a_renamed_type(self):
        self.disable_the_mapping()
        events, sqs = boto3.client("events"), boto3.client("sqs")
        for kind in ("payment.approved", "reservation.created", "payment.approved.v2"):
            events.put_events(
                Entries=[
                    {
                        "EventBusName": BUS_NAME,
                        "Source": "payment-api",
                        "DetailType": kind,
                        "Detail": json.dumps({"reservation_id": "rsv_1"}),
                    }
                ]
            )
        for queue, kind in (("EventQueue", "payment.approved"), ("UnmatchedQueue", "payment.approved.v2")):
            (message,) = sqs.receive_message(QueueUrl=self.ids[queue], MaxNumberOfMessages=10)["Messages"]
            self.assertEqual(json.loads(message["Body"])["detail-type"], kind)


class FifoWithKey(Deployed, unittest.TestCase):
    variant = "fifo with key"


if __name__ == "__main__":
    unittest.main()
