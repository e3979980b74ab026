"""The incidents that are staged. Each says what breaks, what every minute brings, whom one can tell, and the steps of the
runbook with which a person ends it."""

import json
import threading
from pathlib import Path

from world import MINUTE


class Incident:
    """`alarm` is the alarm that must notify. A step of `script` is the heading of a section whose commands are run; commands of
    the runbook, which contain a space; or a function that is called with the world and the folder of the shell."""

    alarm, script, fifo = None, [], False
    payments = 6  # per minute
    ended = False
    lasts = 60  # the limit for the minutes from the end of the script until the alarms are over

    def each_minute(self, world, minute):
        if minute == 0:
            self.begin(world)
        world.pay(self.payments)

    def prepare(self, world):
        """Before the incident."""

    def begin(self, world):
        """At the start of its first minute."""

    def tell(self, world, whom):
        """Somebody calls the owner of another system, or the payments team."""
        raise KeyError(f"{whom} cannot do anything about this")


def calling(whom):
    return lambda world, _: world.incident.tell(world, whom)


def letters(reason, plan):
    """The commands of the runbook that delete the dead letters with a reason. `plan` is the name that the runbook gives
    to the files."""
    return f"""dead-letters plan --action delete --reason {reason} --out {plan}.json
dead-letters apply {plan}.json --backup {plan}.jsonl"""


# The commands of the runbook that list the payments for which a refund is due, and delete the letters of those that were
# refunded. Here, the payments team refunds all of them.
LIST_REFUNDS = "dead-letters list --reason paid_but_expired --output csv > refunded.csv"
DELETE_REFUNDED = """sed '1d; s/,.*//; s/^/--message /' refunded.csv |
  xargs -r dead-letters plan --action delete --reason paid_but_expired --out refunded.json
dead-letters apply refunded.json --backup refunded.jsonl"""


class InventoryDown(Incident):
    """The inventory refuses connections for 20 minutes. Nobody has to do anything: the runbook says not to stop the mapping."""

    alarm, minutes, payments = "processing", 20, 10
    script = ["processing", "error-rate"]

    def begin(self, world):
        world.order(stop="inventory")
        threading.Timer(self.minutes * MINUTE, self.recover, [world]).start()
        world.pay(100)  # So that the breakers open at once, as they do during a sale.

    def recover(self, world):
        world.order(restart="inventory")
        self.ended = True


class TokenRotated(Incident):
    """The reservation API accepts a new token only, and the secret still contains the old one."""

    alarm = "misconfigured"

    def begin(self, world):
        world.order(require_token="second")
        world.token = "second"

    def edit(self, world, folder):
        path = Path(folder, "secret.json")
        secret = json.loads(path.read_text()) | {"reservation_api_token": "second"}
        path.write_text(json.dumps(secret))
        self.ended = True

    script = [
        "misconfigured",
        """aws secretsmanager get-secret-value --region "$AWS_REGION" --secret-id "$(parameter SecretArn)" \\
  --query SecretString --output text > secret.json""",
        lambda world, folder: world.incident.edit(world, folder),
        """aws secretsmanager put-secret-value --region "$AWS_REGION" --secret-id "$(parameter SecretArn)" \\
  --secret-string file://secret.json""",
    ]


class NewShape(Incident):
    """A producer ships events whose `reservation_id` is called `booking_id`."""

    alarm = "new-dead-letters"

    def begin(self, world):
        self.wrong, self.is_wrong = [], True

    def each_minute(self, world, minute):
        if minute == 0:
            self.begin(world)
        if not self.is_wrong:
            return world.pay(self.payments)
        details = [world.hold() for _ in range(self.payments)]
        self.wrong += details
        world.publish([("payment.approved", renamed(detail)) for detail in details])

    def tell(self, world, whom):
        if whom != "producer":
            return super().tell(world, whom)
        self.is_wrong, self.ended = False, True
        world.publish([("payment.approved", detail) for detail in self.wrong])
        world.paid += [detail["reservation_id"] for detail in self.wrong]

    script = ["new-dead-letters", "error-rate", "dead-letters list --group-by reason", calling("producer"),
              letters("invalid_payload", "invalid")]


def renamed(detail):
    return {"booking_id" if name == "reservation_id" else name: value for name, value in detail.items()}


class Poison(Incident):
    """Messages that no version of the worker will ever understand, all at once."""

    alarm = "new-dead-letters"

    def __init__(self, count=200):
        self.count = count

    def begin(self, world):
        self.ended = True
        world.publish([("payment.approved", {"nonsense": number}) for number in range(self.count)])

    def all_dead(self, world, _):
        assert world.wait(lambda: world.depth("DeadLetterQueue") >= self.count, self.count / 5), "the letters are not dead"

    script = ["new-dead-letters", lambda world, folder: world.incident.all_dead(world, folder),
              "dead-letters list --group-by reason", letters("invalid_payload", "invalid")]


class Refunds(Incident):
    """Customers pay for holds that have expired. Among the dead letters are others, which must be redriven."""

    alarm = "new-dead-letters"
    refunds, others = 12, 4

    def prepare(self, world):
        self.expired = world.expire(self.refunds)

    def begin(self, world):
        world.publish([("payment.approved", detail) for detail in self.expired])
        for _ in range(self.others):
            detail = world.hold()
            world.request("POST", "/faults", {"operation": "commit-reservation", "reservation_id": detail["reservation_id"],
                                              "effect": {"grpc": {"code": 8}}})
            world.publish([("payment.approved", detail)])
            world.paid.append(detail["reservation_id"])

    def all_dead(self, world, _):
        count = self.refunds + self.others
        assert world.wait(lambda: world.depth("DeadLetterQueue") >= count, 20), "the letters are not dead"

    def tell(self, world, whom):
        if whom == "inventory":
            world.request("DELETE", "/faults")
        elif whom == "payments":
            self.ended = True
        else:
            super().tell(world, whom)

    script = [
        "new-dead-letters", lambda world, folder: world.incident.all_dead(world, folder),
        "dead-letters list --group-by reason", "dead-letters list --what-if", calling("inventory"),
        """dead-letters plan --action redrive --what-if --prediction would-succeed --out redrive.json
dead-letters apply redrive.json --rate 50 --stop-at 10""",
        LIST_REFUNDS, calling("payments"), DELETE_REFUNDED,
    ]


class HotGroup(Incident):
    """A producer sends all its events to a FIFO queue with one message group, so that they wait
    for each other."""

    alarm, fifo, payments = "backlog", True, 0
    per_minute = 50

    def begin(self, world):
        self.is_hot = True
        world.request("POST", "/faults", {"operation": "update-status", "effect": {"latency": {"ms": 50}}})

    def each_minute(self, world, minute):
        if minute == 0:
            self.begin(world)
        world.send(self.per_minute if self.is_hot else 3, "all" if self.is_hot else None)

    def tell(self, world, whom):
        if whom != "producer":
            return super().tell(world, whom)
        self.is_hot, self.ended = False, True

    script = ["backlog", "oldest-message", calling("producer")]


class LateEvents(Incident):
    """The outbox of a producer sends events one hour late. Some holds have expired meanwhile."""

    alarm = "late-events"

    def prepare(self, world):
        self.late, self.expired = True, world.expire(3)

    def begin(self, world):
        world.publish([("payment.approved", detail) for detail in self.expired], late=60)

    def each_minute(self, world, minute):
        if minute == 0:
            self.begin(world)
        world.pay(self.payments, late=60 if self.late else 0)

    def tell(self, world, whom):
        if whom == "producer":
            self.late = False
        elif whom == "payments":
            self.ended = True
        else:
            super().tell(world, whom)

    script = ["late-events", calling("producer"), "new-dead-letters", "dead-letters list --group-by reason", LIST_REFUNDS,
              calling("payments"), DELETE_REFUNDED]


class RuleLost(Incident):
    """Somebody deletes the rule for reservations. Nothing fails: the events just do not arrive."""

    alarm = "delivery"

    def begin(self, world):
        self.events = world.account.events
        self.rule = world.account.known["ReservationEvents.Arn"].rsplit("/", 1)[1]
        self.events.remove_targets(Rule=self.rule, EventBusName="ticket-reservation-events", Ids=["queue"])
        self.events.delete_rule(Name=self.rule, EventBusName="ticket-reservation-events")
        self.expired = []

    def each_minute(self, world, minute):
        super().each_minute(world, minute)
        if minute < 3:
            self.expired.append(world.hold())
            world.publish([("reservation.expired", self.expired[-1])])

    def replayed(self, world, _):
        """What a replay of the archive does; moto's archive does not contain these events."""
        world.publish([("reservation.expired", detail) for detail in self.expired], late=10)
        self.ended = True

    script = ["delivery", "heartbeat", lambda world, folder: world.incident.replayed(world, folder)]


INCIDENTS = {
    "inventory-down": InventoryDown,
    "token-rotated": TokenRotated,
    "new-shape": NewShape,
    "poison": Poison,
    "refunds": Refunds,
    "hot-group": HotGroup,
    "late-events": LateEvents,
    "rule-lost": RuleLost,
}
