"""Brings the account into the state in which an alarm rings, and runs the commands of the section of this alarm. The
minutes are simulated: they take no time.

No function runs here: the state says which metrics and log lines a minute brings. What the account itself shows is read
from it: the depth of the queues, the invocations by the event rules, and whether the heartbeat reaches the worker."""

import io
import json
import re
import socketserver
import threading
import time
import zipfile
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from account import BUS, QUEUES, STACK, Account, corrections
from alarms import Alarms, Metrics
from aws_cli import call, output
from aws_command import Refused, read_command
from moto.moto_api._internal.models import moto_api_backend
from runbook import Shell

# What a healthy minute brings, by alarm and by the id or the name of a metric that the alarm reads.
HEALTHY = {
    "error-rate": {"success": 1000},
    "slo-burn-1h": {"in_time": 1000},
    "oldest-event": {"worker_event_age_seconds": 1},
    "late-events": {"lateness": 2},
    "latency": {"worker_latency_seconds": 0.1},
    "duration": {"longest": 2000},
    "concurrency": {"running": 5},
}
NOTHING = re.compile("(?!)")
# `aws` asks the test, which makes the call: a process for each call would take a second.
AWS = """
aws() {
  local status
  exec 3<>/dev/tcp/127.0.0.1/$AWS_PORT
  printf '%s\\x1f' "$@" >&3
  printf '\\x1e' >&3
  read -r status <&3
  if [ "$status" = 0 ]; then cat <&3; else cat <&3 >&2; fi
  return "$status"
}
edit() { aws edit "$1"; }
EDITOR=edit
"""


@dataclass
class State:
    """A state in which an alarm rings, and how the runbook ends it."""

    what: str
    metrics: dict = field(default_factory=dict)  # of a minute; they replace those of a healthy one
    log: tuple = ()  # the lines that the function logs in a minute
    begin: callable = lambda rehearsal: None  # brings the account into the state
    # Whether the account shows that the state has ended. None: people outside of the account end the state, such as the
    # owner of a service. It is then over as soon as all commands of the section were run.
    is_over: callable = None
    shows: tuple = ()  # what the commands of the section must print
    then: tuple = ()  # further steps of the runbook, as in scenarios.py
    edit: callable = None  # what a person changes in the JSON file that the runbook opens in an editor
    is_consumed: bool = True  # whether the mapping and the function keep up with the queue
    parameters: callable = dict  # of the stack
    on_paper: str = ""  # what is not run here

    @property
    def is_ended_by_people(self):
        return not self.is_over and bool(self.metrics or not self.is_consumed)


class Rehearsal:
    def __init__(self, state, stubs):
        moto_api_backend.reset()
        self.state, self.stubs, self.calls = state, stubs, []
        self.section_was_followed, self.is_broken = False, False
        self.lines, self.seen, self.printed = [], {}, ""
        self.account = Account(state.parameters(), {"reservation_api_token": "first"}, 180, lambda: self.lines, self.alarms_now)
        self.stack, self.known = self.account.stack, self.account.known
        self.account.publish_outputs("http://reservations", "inventory:50051")
        self.create_function()
        heartbeat = self.stack["Heartbeat"]
        self.account.client("scheduler").create_schedule(**{k: v for k, v in heartbeat.items() if k != "Description"})
        self.metrics, self.minute, self.start = Metrics(1), 0, time.time() - 25 * 60
        self.alarms = Alarms(self.stack, self.metrics, NOTHING)
        self.by_id = {alarm.removeprefix(f"{STACK}-"): metrics_of(a) for alarm, a in self.alarms.alarms.items()}
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.shell = Shell(self, f"AWS_PORT={self.server.server_address[1]}\n{AWS}")

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.account.server.shutdown()
        self.account.server.server_close()
        self.shell.folder.cleanup()

    def say(self, text):
        self.printed += text + "\n"

    def create_function(self):
        """Version 2 gets a tenth of the traffic, as in a deployment."""
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("bootstrap", "")
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = self.account.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        functions = self.account.client("lambda")
        functions.create_function(FunctionName=STACK, Runtime="provided.al2023", Role=role, Handler="bootstrap",
                                  Code={"ZipFile": code.getvalue()}, Publish=True)
        functions.update_function_code(FunctionName=STACK, ZipFile=code.getvalue() + b" ", Publish=True)
        functions.create_alias(FunctionName=STACK, Name="live", FunctionVersion="1",
                               RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})

    # ---- Minutes -------------------------------------------------------------------------------------

    def pass_minutes(self, limit, until):
        """Lets minutes pass until a condition holds. Returns whether it does in time."""
        for _ in range(limit):
            if until():
                return True
            self.pass_minute()
        return until()

    def pass_minute(self):
        self.heartbeat()
        is_over = self.state.is_over(self) if self.state.is_over else self.section_was_followed
        is_broken = self.is_broken and not is_over
        values = {}
        for metrics in (HEALTHY, self.state.metrics if is_broken else {}):
            for alarm, by_id in metrics.items():
                values |= {self.by_id[alarm][name]: value for name, value in by_id.items()}
        if is_broken:
            at = int(time.time())
            self.lines += [{**line, "@time": at, "@message": json.dumps(line)} for line in self.state.log]
        heartbeats = self.consume() if self.state.is_consumed or not is_broken else 0
        values |= {self.by_id["heartbeat"]["worker"]: heartbeats or None}
        for rule, count in self.account.invocations.items():
            values["AWS/Events", "Invocations", frozenset({"EventBusName": BUS, "RuleName": rule}.items())] = count
        self.account.invocations.clear()
        values |= self.queues()
        at = datetime.fromtimestamp(self.start + 60 * self.minute, timezone.utc).replace(tzinfo=None)
        for (namespace, name, dimensions), value in values.items():
            if value is None:
                continue
            self.metrics.add(self.minute, namespace, name, dict(dimensions), [(value, 1)])
            self.account.backend("cloudwatch").put_metric_data(namespace, [
                {"MetricName": name, "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions], "Value": value,
                 "Timestamp": at}])
        self.alarms.evaluate(self.minute)
        self.minute += 1

    def heartbeat(self):
        self.publish("worker.heartbeat")

    def publish(self, kind, **detail):
        self.account.backend("events").put_events([
            {"EventBusName": BUS, "Source": "payment-api", "DetailType": kind, "Detail": json.dumps(detail)}])

    def messages(self, queue):
        with corrections.LOCK:
            return self.account.backend("sqs").queues[self.known[f"{queue}.QueueName"]]._messages

    def consume(self):
        """Empties the event queue. Returns the number of heartbeats in it."""
        if not self.account.mapping_enabled:
            return 0
        messages = self.messages("EventQueue")
        bodies = [json.loads(message.body) for message in messages]
        messages.clear()
        return sum(body.get("detail-type") == "worker.heartbeat" for body in bodies)

    def queues(self):
        values = {}
        for queue in QUEUES:
            visible = [message for message in self.messages(queue) if message.visible]
            arrived = [self.seen.setdefault(message.id, self.minute) for message in visible]
            dimensions = frozenset({"QueueName": self.known[f"{queue}.QueueName"]}.items())
            values["AWS/SQS", "ApproximateNumberOfMessagesVisible", dimensions] = len(visible)
            values["AWS/SQS", "ApproximateAgeOfOldestMessage", dimensions] = 60 * (self.minute - min(arrived, default=self.minute))
        return values

    def rings(self, alarm):
        return f"{STACK}-{alarm}" in self.alarms.ringing

    def alarms_now(self):
        return [(name, datetime.now(timezone.utc)) for name in self.alarms.ringing]

    # ---- Commands ------------------------------------------------------------------------------------

    def handler(self):
        rehearsal = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                request = b""
                while not request.endswith(b"\x1e"):
                    request += self.rfile.read1()
                arguments = request[:-1].decode().split("\x1f")[:-1]
                try:
                    status, text = 0, rehearsal.answer(arguments)
                except Exception as failure:
                    status, text = 1, f"aws {' '.join(arguments)}: {failure}\n"
                self.wfile.write(f"{status}\n{text}".encode())

        return Handler

    def answer(self, arguments):
        if arguments[0] == "edit":
            file = Path(self.shell.folder.name, arguments[1])
            document = json.loads(file.read_text())
            self.state.edit(document)
            file.write_text(json.dumps(document))
            return ""
        command = read_command(arguments, self.shell.folder.name)
        name = f"{command.service} {command.operation}"
        self.calls.append(name)
        if name not in self.stubs:
            return output(command, call(command, self.account.endpoint))
        expected, reply = self.stubs[name]
        for time_parameter in {"StartTime", "EndTime"} & set(command.parameters):
            command.parameters[time_parameter] = round((time.time() - int(command.parameters[time_parameter])) / 60)
        if command.parameters != expected:
            raise Refused(f"{name} was called with {command.parameters} instead of {expected}")
        return output(command, reply)


def metrics_of(alarm):
    """The metrics that an alarm reads, each as namespace, name and dimensions, by their ids."""
    stats = {m["Id"]: m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m}
    stats = stats or {alarm["MetricName"]: alarm}
    return {
        name: (m["Namespace"], m["MetricName"], frozenset((d["Name"], d["Value"]) for d in m.get("Dimensions", [])))
        for name, m in stats.items()
    }
