"""The template deployed into moto, and what was created compared with what was meant."""

import ast
import io
import json
import os
import unittest
import warnings
import zipfile

import stack
from stack import ACCOUNT, REGION, STACK, VARIANTS, Stack

os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any")

import boto3  # noqa: E402 (it reads the environment when it is loaded)
from moto import mock_aws  # noqa: E402

# moto's CloudFormation makes none of these. The first three are made here, by CloudFormation's own calls.
NOT_CARRIED = {
    "AWS::CloudWatch::Alarm",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::Lambda::Alias",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::TopicPolicy",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
}
GROUP = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/reservation-expiry"


def carried(parameters):
    """The template without what moto does not make; references to it become what it will be."""
    template, meant = json.loads(stack.transformed(parameters)), Stack(parameters)
    alarms = meant.of_type("CloudWatch::Alarm").items()
    prefix = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm"
    arns = {name: f"{prefix}:{alarm['AlarmName']}" for name, alarm in alarms}
    arns["HoldExpiries"] = GROUP
    text = json.dumps({n: r for n, r in template["Resources"].items() if r["Type"] not in NOT_CARRIED})
    for name, arn in arns.items():
        text = text.replace(json.dumps({"Fn::GetAtt": [name, "Arn"]}), json.dumps(arn))
        text = text.replace(f"${{{name}.Arn}}", arn)
    text = text.replace(json.dumps({"Ref": "WorkerAliaslive"}), json.dumps({"Ref": "Worker"}))
    return {**template, "Resources": json.loads(text), "Outputs": {}}


class Deployed:
    def setUp(self):
        warnings.simplefilter("ignore")
        mock = mock_aws(config={"lambda": {"use_docker": False}})
        mock.start()
        self.addCleanup(mock.stop)
        self.meant = self.deploy(VARIANTS[self.variant])

    def deploy(self, parameters):
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("bootstrap", "")
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="artifacts", Key="bootstrap.zip", Body=code.getvalue())
        boto3.client("events").create_event_bus(Name="ticket-reservation-events")
        cloudformation = boto3.client("cloudformation")
        cloudformation.create_stack(
            StackName=STACK,
            TemplateBody=json.dumps(carried(parameters)),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        summaries = cloudformation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
        made = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in summaries}
        return self.complete(parameters, made)

    def complete(self, parameters, made):
        """What is meant, with what was made in the place of symbols; and the rest is made."""
        sqs, events = boto3.client("sqs"), boto3.client("events")
        known = {**made, "HoldExpiries.Arn": GROUP}
        for queue in ("EventQueue", "DeadLetterQueue", "UndeliveredQueue"):
            known[f"{queue}.Arn"] = sqs.get_queue_attributes(
                QueueUrl=made[queue], AttributeNames=["QueueArn"]
            )["Attributes"]["QueueArn"]
            known[f"{queue}.QueueName"] = made[queue].rsplit("/", 1)[1]
        for rule in events.list_rules(EventBusName="ticket-reservation-events")["Rules"]:
            name = next(name for name in ("ReservationEvents", "PaymentEvents") if name in rule["Name"])
            known[f"{name}.Arn"] = rule["Arn"]
        meant = Stack(parameters, known)
        for policy in meant.of_type("SQS::QueuePolicy").values():
            (queue,) = policy["Queues"]
            document = json.dumps(policy["PolicyDocument"])
            sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": document})
        for alarm in meant.of_type("CloudWatch::Alarm").values():
            boto3.client("cloudwatch").put_metric_alarm(**alarm)
        boto3.client("scheduler").create_schedule_group(**meant["HoldExpiries"])
        self.made = made
        return meant

    def stop_polling(self):
        boto3.client("lambda").update_event_source_mapping(UUID=self.made["WorkerQueue"], Enabled=False)

    def test_queues(self):
        sqs = boto3.client("sqs")
        for name, properties in self.meant.of_type("SQS::Queue").items():
            attributes = sqs.get_queue_attributes(QueueUrl=self.made[name], AttributeNames=["All"])[
                "Attributes"
            ]
            for key, value in properties.items():
                if key == "RedriveAllowPolicy":
                    continue  # moto does not keep it
                if key == "QueueName":
                    self.assertTrue(attributes["QueueArn"].endswith(f":{value}"))
                elif isinstance(value, dict):
                    said = json.loads(attributes[key])
                    self.assertEqual(
                        {k: str(v) for k, v in said.items()}, {k: str(v) for k, v in value.items()}
                    )
                else:
                    self.assertEqual(attributes[key].lower(), str(value).lower(), key)

    def test_a_record_that_is_returned_too_often_is_a_dead_letter(self):
        self.stop_polling()
        sqs = boto3.client("sqs")
        group = {"MessageGroupId": "rsv_1"} if "FifoQueue" in self.meant["EventQueue"] else {}

        def receive(queue):
            return sqs.receive_message(QueueUrl=self.made[queue], VisibilityTimeout=0).get("Messages", [])

        sqs.send_message(QueueUrl=self.made["EventQueue"], MessageBody="{}", **group)
        for _ in range(int(self.meant["EventQueue"]["RedrivePolicy"]["maxReceiveCount"])):
            (message,) = receive("EventQueue")
        self.assertEqual(receive("EventQueue"), [])
        (dead,) = receive("DeadLetterQueue")
        self.assertEqual(dead["MessageId"], message["MessageId"])

    def test_policies(self):
        iam, sqs = boto3.client("iam"), boto3.client("sqs")
        for role, properties in self.meant.of_type("IAM::Role").items():
            for policy in properties["Policies"]:
                said = iam.get_role_policy(RoleName=self.made[role], PolicyName=policy["PolicyName"])
                statements = ast.literal_eval(said["PolicyDocument"])["Statement"]  # moto: not JSON
                sids = [statement["Sid"] for statement in policy["PolicyDocument"]["Statement"]]
                self.assertEqual([statement["Sid"] for statement in statements if statement], sids)
            trust = iam.get_role(RoleName=self.made[role])["Role"]["AssumeRolePolicyDocument"]
            self.assertEqual(trust, properties["AssumeRolePolicyDocument"])
        attributes = sqs.get_queue_attributes(QueueUrl=self.made["EventQueue"], AttributeNames=["All"])
        senders, _ = json.loads(attributes["Attributes"]["Policy"])["Statement"]
        rules = [
            rule["Arn"]
            for rule in boto3.client("events").list_rules(EventBusName="ticket-reservation-events")["Rules"]
        ]
        self.assertEqual(sorted(senders["Condition"]["ArnEquals"]["aws:SourceArn"]), sorted(rules))

    def test_the_mapping(self):
        (mapping,) = boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        attributes = boto3.client("sqs").get_queue_attributes(
            QueueUrl=self.made["EventQueue"], AttributeNames=["QueueArn"]
        )
        self.assertEqual(mapping["EventSourceArn"], attributes["Attributes"]["QueueArn"])
        self.assertEqual(mapping["BatchSize"], int(self.meant["WorkerQueue"]["BatchSize"]))
        function = boto3.client("lambda").get_function_configuration(FunctionName=self.made["Worker"])
        variables = function["Environment"]["Variables"]
        self.assertEqual(variables["SQS_QUEUE_URL"], self.made["EventQueue"])
        self.assertEqual(str(variables["MAX_RETRIES"]), "5")

    def test_alarms_and_dashboard(self):
        cloudwatch = boto3.client("cloudwatch")
        alarms = {alarm["AlarmName"]: alarm for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
        for alarm in self.meant.of_type("CloudWatch::Alarm").values():
            said = alarms.pop(alarm["AlarmName"])
            for key, value in alarm.items():
                self.assertEqual(said[key], value)
        self.assertEqual(alarms, {})
        body = json.loads(cloudwatch.get_dashboard(DashboardName=STACK)["DashboardBody"])
        shown = {arn.rsplit(":", 1)[1] for arn in body["widgets"][0]["properties"]["alarms"]}
        self.assertEqual(shown, {a["AlarmName"] for a in self.meant.of_type("CloudWatch::Alarm").values()})
        (depth,) = [w for w in body["widgets"] if w["properties"]["title"] == "Queue depth"]
        self.assertEqual(depth["properties"]["metrics"][0][3], self.meant["EventQueue"]["QueueName"])


class Standard(Deployed, unittest.TestCase):
    variant = "standard"


class Fifo(Deployed, unittest.TestCase):
    variant = "fifo"

    # moto's EventBridge does not know message groups on standard queues.
    def test_an_event_on_the_bus_is_a_message_on_the_queue(self):
        self.stop_polling()
        events, sqs = boto3.client("events"), boto3.client("sqs")
        for kind in ("payment.approved", "reservation.created"):
            events.put_events(
                Entries=[
                    {
                        "EventBusName": "ticket-reservation-events",
                        "Source": "payment-api",
                        "DetailType": kind,
                        "Detail": json.dumps({"reservation_id": "rsv_1"}),
                    }
                ]
            )
        (message,) = sqs.receive_message(QueueUrl=self.made["EventQueue"], MaxNumberOfMessages=10)["Messages"]
        self.assertEqual(json.loads(message["Body"])["detail-type"], "payment.approved")


class FifoWithKey(Deployed, unittest.TestCase):
    variant = "fifo with key"


if __name__ == "__main__":
    unittest.main()
