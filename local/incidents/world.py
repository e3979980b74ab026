"""The stack under an incident: the account, both services, the mapping and the function, and a clock that evaluates the
alarms. A minute takes 3 s, a twentieth of its length in AWS. docs/incidents.md says which times are not compressed."""

import json
import os
import queue
import subprocess
import threading
import time
import urllib.request
from collections import Counter

from account import BUS, ROOT, STACK, Account, now
from alarms import Alarms, Metrics

SPEED = 20
MINUTE = 60 / SPEED
# The reserve for the response, as part of the function's time-out. It is not compressed, but ten times its default of
# 1 s: moto takes longer than SQS to respond.
RESERVE_MS = 10_000
# The default of the queue. It applies to a message whose time-out the worker could not change, because moto did not
# respond in time. In AWS it is 180 s. A twentieth of that would be too short: the message would use up its receives.
VISIBILITY_TIMEOUT = 60
COMPRESSED = ("BACKOFF_BASE_MS", "BACKOFF_MAX_MS", "OUTAGE_BACKOFF_MS", "BREAKER_OPEN_MS")


class World:
    def __init__(self, fifo=False, binary=None, say=print):
        self.say = say
        self.lines, self.seats, self.paid = [], 0, []
        self.reported = Counter()
        self.metrics = Metrics(SPEED)
        self.minute, self.began, self.incident, self.changed_at = 0, None, None, {}
        self.lock = threading.RLock()
        parameters = {"QueueType": "fifo"} if fifo else {}
        secret = {"reservation_api_token": "first"}
        self.account = Account(parameters, secret, VISIBILITY_TIMEOUT, self.log, self.alarms_now)
        self.stack = self.account.stack
        self.namespace = self.stack["Worker"]["Environment"]["Variables"]["METRICS_NAMESPACE"]
        self.alarms = Alarms(self.stack, self.metrics)
        self.process = self.start(binary or [f"{os.environ.get('CARGO_TARGET_DIR', ROOT + '/target')}/debug/reservation-worker-local"])
        self.account.mapping = lambda enabled: self.order(mapping=enabled)
        services = json.loads(self.process.stdout.readline())
        self.api = services["RESERVATION_API_BASE"]
        self.account.publish_outputs(self.api, services["INVENTORY_GRPC_ADDR"])
        self.order(require_token="first")
        self.token = "first"
        self.running, self.failure, self.minutes = True, None, queue.Queue()
        for target in (self.read_reports, self.tick, self.produce):
            threading.Thread(target=self.guarded, args=[target], daemon=True).start()

    def start(self, binary):
        variables = {name: str(value) for name, value in self.stack["Worker"]["Environment"]["Variables"].items()}
        for name in COMPRESSED:
            variables[name] = ",".join(str(max(1, int(ms) // SPEED)) for ms in variables[name].split(","))
        for name in ("RESERVATION_API_BASE", "INVENTORY_GRPC_ADDR"):
            del variables[name]  # The addresses of the local services.
        variables |= {"DEADLINE_RESERVE_MS": str(RESERVE_MS), "AWS_ENDPOINT_URL": self.account.endpoint}
        variables |= {"AWS_LAMBDA_FUNCTION_VERSION": "1"}
        timeout_ms = (int(self.stack["Worker"]["Timeout"]) * 1000 - 1000) // SPEED + RESERVE_MS
        settings = {"endpoint": self.account.endpoint, "queue_url": self.account.known["EventQueue"],
                    "queue_arn": self.account.known["EventQueue.Arn"], "environment": variables,
                    "function_timeout_ms": timeout_ms, "idle_ms": 5 * 60_000 // SPEED}
        # In a session of its own, so that Ctrl-C in the shell of the incident does not reach it.
        return subprocess.Popen([*binary, "stack", json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                text=True, start_new_session=True)

    def guarded(self, target):
        try:
            target()
        except Exception as failure:  # The main thread raises it.
            self.failure = failure

    def stop(self):
        self.running = False
        self.process.stdin.close()
        self.process.wait(30)

    def order(self, **command):
        ((name, value),) = command.items()
        self.process.stdin.write(json.dumps({name: value}) + "\n")
        self.process.stdin.flush()

    # ---- What the stack reports ----------------------------------------------------------------------

    def read_reports(self):
        for line in self.process.stdout:
            report = json.loads(line)
            with self.lock:
                for datum in report["metrics"]:
                    self.metrics.add(self.minute, self.namespace, datum["name"], datum["dimensions"], datum["values"])
                    self.put_metric(self.namespace, datum)
                for line in report["log"]:
                    line |= {"@time": int(time.time()), "@timestamp": str(now()), "@message": json.dumps(line)}
                    self.lines.append(line)
                if report["stats"]:
                    failed = report["stats"]["failed"]
                    if failed > self.reported["failed"]:
                        self.aws("AWS/Lambda", "Errors", {"FunctionName": self.account.known["Worker"]}, failed - self.reported["failed"])
                    self.reported["failed"] = failed

    def put_metric(self, namespace, datum):
        """Also to moto, for the commands of the runbook."""
        values, counts = zip(*datum["values"])
        dimensions = [{"Name": name, "Value": value} for name, value in datum["dimensions"].items()]
        self.account.backend("cloudwatch").put_metric_data(namespace, [
            {"MetricName": datum["name"], "Dimensions": dimensions, "Unit": datum["unit"],
             "Values": list(values), "Counts": list(counts)}])

    def log(self):
        with self.lock:
            return list(self.lines)

    def aws(self, namespace, name, dimensions, value):
        self.metrics.add(self.minute, namespace, name, dimensions, [(value, 1)])
        if value:
            self.put_metric(namespace, {"name": name, "dimensions": dimensions, "values": [(value, 1)], "unit": "None"})

    # ---- The clock -----------------------------------------------------------------------------------

    def tick(self):
        next_minute = time.monotonic() + MINUTE
        self.heartbeat()
        while self.running:
            with self.lock:
                self.sample_queues()
            if time.monotonic() >= next_minute:
                next_minute += MINUTE
                self.end_minute()
            time.sleep(0.2)

    def end_minute(self):
        with self.lock:
            for rule, count in self.account.invocations.items():
                self.aws("AWS/Events", "Invocations", {"EventBusName": BUS, "RuleName": rule}, count)
            self.account.invocations.clear()
            for name in sorted(self.alarms.evaluate(self.minute)):
                rings = name in self.alarms.ringing
                self.changed_at[name] = now()
                self.say(f"minute {self.since() + 1:>3}: {name} {'rings' if rings else 'is over'}")
            self.minute += 1
        self.heartbeat()
        if self.incident:
            if self.began is None:
                self.began = self.minute
            self.minutes.put((self.incident, self.since()))

    def produce(self):
        """In a thread of its own, so that slow producers do not make the minutes longer."""
        while True:
            incident, minute = self.minutes.get()
            incident.each_minute(self, minute)
            self.minutes.task_done()

    def since(self):
        """The minutes since the incident began."""
        return self.minute - (self.began or 0)

    def alarms_now(self):
        with self.lock:
            return [(name, self.changed_at[name]) for name in self.alarms.ringing]

    def sample_queues(self):
        for name in ("EventQueue", "DeadLetterQueue", "UndeliveredQueue", "UnmatchedQueue"):
            sent = self.account.queue(name)
            dimensions = {"QueueName": self.account.known[f"{name}.QueueName"]}
            self.aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimensions, len(sent))
            self.aws("AWS/SQS", "ApproximateAgeOfOldestMessage", dimensions, time.time() - min(sent) / 1000 if sent else 0)

    # ---- What producers send -------------------------------------------------------------------------

    def heartbeat(self):
        self.publish([("worker.heartbeat", {})])

    def publish(self, events, late=0):
        """Puts events on the bus, each a type and a detail. `late`: minutes ago."""
        for first in range(0, len(events), 10):
            at = time.time() - late * MINUTE
            self.account.backend("events").put_events(
                [{"EventBusName": BUS, "Source": "payment-api", "DetailType": kind, "Detail": json.dumps(detail), "Time": at}
                 for kind, detail in events[first : first + 10]])

    def hold(self):
        """Creates a hold with two seats. Returns the detail of an event about it."""
        self.seats += 1
        detail = {"reservation_id": f"rsv_{self.seats:06}", "event_id": "evt_1",
                  "seat_ids": [f"{self.seats}-A", f"{self.seats}-B"]}
        self.request("POST", "/holds", detail)
        return {**detail, "payment_intent_id": f"pay_{self.seats}"}

    def pay(self, count, **options):
        """Sends approved payments for new holds. All must be confirmed in the end."""
        details = [self.hold() for _ in range(count)]
        self.publish([("payment.approved", detail) for detail in details], **options)
        self.paid += [detail["reservation_id"] for detail in details]
        return details

    def expire(self, count):
        """Creates holds and lets them expire. Returns the details of events about them."""
        details = [self.hold() for _ in range(count)]
        self.publish([("reservation.expired", detail) for detail in details])
        self.wait(lambda: all(self.status(detail["reservation_id"]) == "EXPIRED" for detail in details), 20)
        return details

    def send(self, count, group):
        """Sends approved payments to the FIFO queue directly, as a schedule does. Without a group: that of the reservation."""
        for _ in range(count):
            detail = self.hold()
            body = json.dumps({"type": "payment.approved", **detail})
            name = self.account.known["EventQueue.QueueName"]
            self.account.backend("sqs").send_message(name, body, group_id=group or detail["reservation_id"])
            self.paid.append(detail["reservation_id"])

    def request(self, method, path, body=None):
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, headers, method=method)
        with urllib.request.urlopen(request) as reply:
            return json.loads(reply.read() or b"null")

    def status(self, reservation_id):
        return self.request("GET", f"/internal/reservations/{reservation_id}")["status"]

    # ---- What must be true in the end ----------------------------------------------------------------

    def wait(self, condition, minutes):
        """Waits until the condition holds. Returns whether it does in time."""
        end = time.monotonic() + minutes * MINUTE
        while not condition():
            if self.failure:
                raise self.failure
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def rings(self, alarm):
        return f"{STACK}-{alarm}" in self.alarms.ringing

    def depth(self, name):
        with self.lock:
            reply = self.account.sqs.get_queue_attributes(QueueUrl=self.account.known[name], AttributeNames=["All"])
            attributes = reply["Attributes"]
        return sum(int(attributes[f"ApproximateNumberOfMessages{part}"]) for part in ("", "NotVisible", "Delayed"))

    def inconsistent(self):
        """The reservations whose status and seats do not match, and the payments that were not confirmed."""
        seats = {}
        for seat in self.request("GET", "/events/evt_1/seats")["seats"].values():
            seats.setdefault(seat["reservation_id"], set()).add(seat["state"])
        final = {"CONFIRMED": {"SOLD"}, "EXPIRED": {"AVAILABLE"}, "CANCELLED": {"AVAILABLE"}}
        wrong = []
        for number in range(1, self.seats + 1):
            identity = f"rsv_{number:06}"
            status = self.status(identity)
            expected = ("CONFIRMED",) if identity in self.paid else final
            if status not in expected or seats[identity] != final[status]:
                wrong.append(f"{identity} {status} {seats[identity]}")
        return wrong
