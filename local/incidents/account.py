"""An AWS account in moto, in this process: the resources of template.yaml that an incident needs, under their real names.

moto lacks some operations. `Account` replaces them: queries of the log (Logs Insights) and its filter patterns, the
states of alarms, the event source mapping, and metrics without dimensions. EventBridge in moto cannot send a message
group to a standard queue, so `Account` leaves the group out there."""

import functools
import importlib.util
import json
import os
import re
import sys
import threading
from datetime import datetime, timezone
from types import SimpleNamespace

ROOT = __file__.rsplit("/local/", 1)[0]
sys.path[:0] = [f"{ROOT}/tests/template"]

import insights  # noqa: E402
from template import ACCOUNT, REGION, SERVICES, Stack  # noqa: E402 (it needs the path)

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION=REGION,
                  AWS_MAX_ATTEMPTS="1")

import boto3  # noqa: E402 (it reads the environment when it is imported)
import jsonpath_ng.ext  # noqa: E402
import moto.awslambda.models  # noqa: E402
import moto.cloudwatch.models  # noqa: E402
import moto.cloudwatch.responses  # noqa: E402
import moto.events.models  # noqa: E402
import moto.logs.models  # noqa: E402
from moto.backends import get_backend  # noqa: E402
from moto.core.responses import ActionResult  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

_spec = importlib.util.spec_from_file_location("sqs_corrections", f"{ROOT}/local/src/event_source/moto.py")
corrections = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(corrections)
corrections.log = lambda **_: None
corrections.LONG_POLL_INTERVAL = 0.1  # Each poller searches its queue this often, which takes CPU time of this process.
# For each event, moto builds the parser of JSON paths several times, which takes a tenth of a second.
jsonpath_ng.ext.parse = functools.cache(jsonpath_ng.ext.parse)

STACK = "reservation-worker-prod"
BUS = "ticket-reservation-events"
MAPPING = "11111111-2222-3333-4444-555555555555"
QUEUES = ("DeadLetterQueue", "EventQueue", "UndeliveredQueue", "UnmatchedQueue")
RULES = ("ReservationEvents", "PaymentEvents", "UnmatchedEvents")
# What moto does itself, and `Account` replaces.
GET_METRIC_STATISTICS = moto.cloudwatch.models.CloudWatchBackend.get_metric_statistics
SEND_TO_SQS = moto.events.models.Rule._send_to_sqs_queue
SEND_TO_TARGETS = moto.events.models.Rule.send_to_targets


class Silent(WSGIRequestHandler):
    def log(self, *_):
        pass


class Account:
    """`mapping` is called with True or False when somebody starts or stops the event source mapping."""

    def __init__(self, parameters, secret, visibility_timeout, log, alarms_now):
        self.server = server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
                             request_handler=Silent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{server.port}"
        self.log, self.alarms_now = log, alarms_now
        self.mapping, self.mapping_enabled = lambda enabled: None, True
        self.invocations = {}  # of each rule
        self.fill_gaps()
        self.events, self.sqs, self.cloudwatch = map(self.client, ("events", "sqs", "cloudwatch"))
        self.secret = self.client("secretsmanager").create_secret(Name="worker", SecretString=json.dumps(secret))["ARN"]
        self.parameters = {**SERVICES, "SecretArn": self.secret, **parameters}
        self.known = {"AWS::StackName": STACK, "EventBus": BUS, "Worker": STACK, "WorkerQueue": MAPPING}
        self.known |= {"WorkerLogs": f"/aws/lambda/{STACK}", "HoldExpiries": "reservation-expiry", "Worker.Version.Version": "1"}
        for name in RULES:
            self.known[f"{name}.Arn"] = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{BUS}/{STACK}-{name}-LOCAL"
        template = self.template()
        alarms = template.of_type("CloudWatch::Alarm") | template.of_type("CloudWatch::CompositeAlarm")
        for name, alarm in alarms.items():
            full = alarm["AlarmName"]
            self.known |= {name: full, f"{name}.Arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{full}"}
        self.create_queues(visibility_timeout)
        self.stack = self.template()
        self.create_rules()

    def template(self):
        return Stack(self.parameters, self.known)

    def client(self, service):
        return boto3.client(service, endpoint_url=self.endpoint)

    @staticmethod
    def backend(service):
        """What moto stores of a service. Calling its methods takes less time than a request to the server."""
        return get_backend(service)[ACCOUNT][REGION]

    def create_queues(self, visibility_timeout):
        for name in QUEUES:
            properties = dict(self.template()[name])
            queue = properties.pop("QueueName")
            if name == "EventQueue":
                properties["VisibilityTimeout"] = visibility_timeout
            skipped = ("RedriveAllowPolicy", "SqsManagedSseEnabled", "KmsMasterKeyId")
            attributes = {key: json.dumps(value) if isinstance(value, dict) else str(value).lower() if value is True else str(value)
                          for key, value in properties.items() if key not in skipped}
            url = self.sqs.create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"]
            self.known |= {name: url, f"{name}.QueueName": queue, f"{name}.Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"}

    def create_rules(self):
        self.events.create_event_bus(Name=BUS)
        for name in RULES:
            rule, full = self.stack[name], self.known[f"{name}.Arn"].rsplit("/", 1)[1]
            pattern = json.dumps(rule["EventPattern"])
            self.events.put_rule(Name=full, EventBusName=BUS, State="ENABLED", EventPattern=pattern)
            self.events.put_targets(Rule=full, EventBusName=BUS, Targets=[
                {key: value for key, value in target.items() if key != "RetryPolicy"} for target in rule["Targets"]])

    def publish_outputs(self, reservation_api, inventory):
        """Creates a stack with the parameters and outputs of the template, for the runbook and for dead-letters."""
        parameters = self.parameters | {"ReservationApiBase": reservation_api, "InventoryGrpcAddr": inventory}
        body = {
            "Parameters": {name: {"Type": "String"} for name in parameters},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "any"}}},
            "Outputs": {name: {"Value": value} for name, value in self.stack.outputs.items()},
        }
        self.client("cloudformation").create_stack(
            StackName=STACK, TemplateBody=json.dumps(body),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()])

    def queue(self, name):
        """The messages of a queue that are visible, each as the time in ms at which it was sent."""
        with corrections.LOCK:
            queue = self.backend("sqs").queues[self.known[f"{name}.QueueName"]]
            return [message.sent_timestamp for message in queue._messages if message.visible]

    def fill_gaps(self):
        account, results = self, {}

        def start_query(self, log_group_names, start_time, end_time, query_string):
            assert log_group_names == [f"/aws/lambda/{STACK}"], log_group_names
            found = [line for line in account.log() if start_time <= line["@time"] <= end_time]
            results[str(len(results))] = insights.run(query_string, found)
            return str(len(results) - 1)

        def get_query_results(self, query_id):
            rows = [[{"field": f, "value": v} for f, v in row.items()] for row in results[query_id]]
            return SimpleNamespace(to_result_json=lambda: {"results": rows, "status": "Complete"})

        def filter_log_events(self, group, streams, start_time, end_time, limit, next_token, pattern, interleaved):
            assert group == f"/aws/lambda/{STACK}", group
            terms = [term.strip('"') for term in re.findall(r'\?("[^"]*"|\S+)', pattern)]
            found = [line for line in account.log() if start_time <= line["@time"] * 1000 <= end_time]
            return [{"message": line["@message"]} for line in found if any(t in line["@message"] for t in terms)], None, []

        def describe_alarms(self):
            names, prefix = account.alarms_now(), self._get_param("AlarmNamePrefix")
            assert self._get_param("StateValue") == "ALARM"
            found = [{"AlarmName": name, "StateUpdatedTimestamp": since} for name, since in names if name.startswith(prefix)]
            return ActionResult({"MetricAlarms": found, "CompositeAlarms": []})

        def get_event_source_mapping(self, uuid):
            state = {"UUID": uuid, "State": "Enabled" if account.mapping_enabled else "Disabled",
                     "LastProcessingResult": "OK", "StateTransitionReason": "User action"}
            return SimpleNamespace(get_configuration=lambda: state) if uuid == MAPPING else None

        def update_event_source_mapping(self, uuid, spec):
            account.mapping_enabled = spec["Enabled"]
            account.mapping(spec["Enabled"])
            return self.get_event_source_mapping(uuid)

        def get_metric_statistics(self, namespace, metric_name, start_time, end_time, period, stats, dimensions, unit=None):
            # A metric with other dimensions is another metric, also if no dimensions are given.
            given = {(d["Name"], d["Value"]) for d in dimensions or []}
            of_metric = [m for m in self.get_all_metrics() if {(d.name, d.value) for d in m.dimensions} == given]
            only = SimpleNamespace(get_all_metrics=lambda: of_metric)
            return GET_METRIC_STATISTICS(only, namespace, metric_name, start_time, end_time, period, stats, None, unit)

        def _send_to_sqs_queue(self, resource_id, event, group_id=None):
            SEND_TO_SQS(self, resource_id, event, group_id if resource_id.endswith(".fifo") else None)

        def counted(self, event, *arguments, **options):
            if self.event_pattern.matches_event(event) and self.targets:
                account.invocations[self.name] = account.invocations.get(self.name, 0) + 1
            return SEND_TO_TARGETS(self, event, *arguments, **options)

        for owner, replacements in {
            moto.logs.models.LogsBackend: (start_query, get_query_results, filter_log_events),
            moto.cloudwatch.responses.CloudWatchResponse: (describe_alarms,),
            moto.cloudwatch.models.CloudWatchBackend: (get_metric_statistics,),
            moto.awslambda.models.LambdaBackend: (get_event_source_mapping, update_event_source_mapping),
            moto.events.models.Rule: (_send_to_sqs_queue,),
        }.items():
            for replacement in replacements:
                setattr(owner, replacement.__name__, replacement)
        moto.events.models.Rule.send_to_targets = counted


def now():
    return datetime.now(timezone.utc)

