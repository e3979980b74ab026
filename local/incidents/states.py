"""For each alarm, the state in which it rings. test_sections.py runs the commands of the section of the alarm in this state."""

import json
from dataclasses import replace

from account import ACCOUNT, BUS, REGION, STACK, Account
from moto.core.utils import utcnow
from rehearsal import State
from scenarios import letters

# ---- What the account looks like ------------------------------------------------------------------------


def reason(code, outcome="retried", **more):
    """A summary line of the log, by default of a record that was returned."""
    return {"outcome": outcome, "reason_code": code, "event_type": "payment.approved", "function_version": "1",
            "attempt": 2, "message_id": "m", "duration_ms": 40, **more}


def put(queue, body, **attributes):
    """Puts three messages into a queue."""

    def begin(rehearsal):
        for number in range(3):
            rehearsal.account.client("sqs").send_message(
                QueueUrl=rehearsal.known[queue], MessageBody=json.dumps(body | {"reservation_id": f"rsv_{number}"}),
                MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()})

    return begin


def rename_type(rehearsal):
    rehearsal.publish("payment.approved.v2", reservation_id="rsv_1")


def stop_mapping(rehearsal):
    rehearsal.account.mapping_enabled = False


def delete_secret(rehearsal):
    rehearsal.account.client("secretsmanager").delete_secret(SecretId=rehearsal.account.secret)


def secret(rehearsal):
    client = rehearsal.account.client("secretsmanager")
    if "DeletedDate" in client.describe_secret(SecretId=rehearsal.account.secret):
        return None
    return json.loads(client.get_secret_value(SecretId=rehearsal.account.secret)["SecretString"])


def lose_rule(rehearsal):
    name = rehearsal.known["ReservationEvents.Arn"].rsplit("/", 1)[1]
    rehearsal.account.events.remove_targets(Rule=name, EventBusName=BUS, Ids=["queue"])
    rehearsal.account.events.delete_rule(Name=name, EventBusName=BUS)


EVENTS = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Resource": "*",
          "Action": ["kms:Decrypt", "kms:GenerateDataKey"]}


def key_without_eventbridge():
    """A key whose policy has lost the statement about EventBridge."""
    owner = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [owner]})
    key = Account.backend("kms").create_key(policy, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "", [], False, "AWS_KMS")
    return {"KmsKeyArn": key.arn}


def key_admits_eventbridge(rehearsal):
    key = rehearsal.account.parameters["KmsKeyArn"]
    policy = rehearsal.account.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    return EVENTS in json.loads(policy)["Statement"]


def alias_is_whole(rehearsal):
    alias = rehearsal.account.client("lambda").get_alias(FunctionName=STACK, Name="live")
    return not alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")


# ---- Commands of the runbook outside of the section ----------------------------------------------------------

START_MAPPING = """aws lambda update-event-source-mapping --region "$AWS_REGION" --uuid "$(out MappingId)" --enabled"""
RESTORE_SECRET = 'aws secretsmanager restore-secret --region "$AWS_REGION" --secret-id "$(parameter SecretArn)"'
ROLL_BACK = """VERSION=1   # the number of the good version
aws lambda update-alias --region "$AWS_REGION" --function-name "$(out FunctionName)" --name live \\
  --function-version "$VERSION" --routing-config '{"AdditionalVersionWeights": {}}'"""
REDRIVE_UNDELIVERED = """dead-letters undelivered plan --action redrive --what-if --out undelivered.json
dead-letters undelivered apply undelivered.json"""

# ---- The states ---------------------------------------------------------------------------------------------

OUTAGE = State(
    "the inventory is unavailable",
    metrics={"error-rate": {"success": 900, "retried": 100}},
    log=(reason("inventory_unavailable"), {"message": "breaker opened", "service": "inventory"}),
    shows=("inventory_unavailable",),
)
SLOW_SERVICE = State(
    "a service is slow",
    metrics={"latency": {"worker_latency_seconds": 2}},
    on_paper="percentiles: moto returns the minutes without values",
)
CODEDEPLOY = "CodeDeploy's rollback: the alias is moved by the command for a rollback after a deployment"
BAD_VERSION = State(
    "the newest version returns records",
    metrics={"canary-error-rate": {"success": 60, "retried": 40}},
    log=(reason("panicked", function_version="2"),),
    shows=("panicked",),
    is_over=alias_is_whole,
    then=(ROLL_BACK,),
    on_paper=CODEDEPLOY,
)
LATE = reason("inventory_error", outcome="success", attempt=3)
FAST_BURN = State(
    "a third of the events is late",
    metrics={"slo-burn-1h": {"success": 900, "in_time": 600}},
    log=(LATE,),
    shows=("inventory_error",),
)
SLOW_BURN = State(
    "one event in a hundred is late",
    metrics={"slo-burn-24h": {"success": 1000, "in_time": 990}},
    log=(LATE,),
    shows=("inventory_error",),
)
UNDELIVERED = State(
    "EventBridge may not send to the queue",
    begin=put("UndeliveredQueue", {"type": "reservation.expired", "event_id": "evt_1"}, ERROR_CODE="NO_PERMISSIONS",
              ERROR_MESSAGE="not authorized to perform: sqs:sendmessage",
              RULE_ARN=f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{BUS}/expiries"),
    shows=("NO_PERMISSIONS",),
    then=(REDRIVE_UNDELIVERED,),
)
INVALID = put("DeadLetterQueue", {"nonsense": 1})

STATES = {
    "processing": OUTAGE,
    "known-cause": OUTAGE,
    "error-rate": OUTAGE,
    "function-errors": State(
        "the secret is deleted",
        begin=delete_secret,
        metrics={"function-errors": {"Errors": 3}},
        log=({"level": "ERROR", "message": "secret worker: it was deleted"},),
        shows=("secret worker: it was deleted",),
        is_over=secret,
        then=(RESTORE_SECRET,),
    ),
    "oldest-event": State(
        "records are retried",
        metrics={"oldest-event": {"worker_event_age_seconds": 90}},
        log=(reason("inventory_error"),),
        shows=("inventory_error", "90.0"),
    ),
    "backlog": State(
        "the mapping is disabled",
        begin=stop_mapping,
        shows=("Disabled",),
        is_over=lambda rehearsal: rehearsal.account.mapping_enabled,
        then=(START_MAPPING,),
    ),
    "oldest-message": State(
        "a message group is blocked",
        is_consumed=False,
        log=(reason("group_blocked", message_group_id="rsv_7"),),
        shows=("rsv_7",),
    ),
    "throttles": State(
        "the concurrency of the account is used up",
        begin=put("DeadLetterQueue", {"type": "reservation.expired", "event_id": "evt_1"}),
        metrics={"throttles": {"Throttles": 20}},
        shows=("1000",),
        on_paper="the throttling, and the concurrency of another function",
    ),
    "delivery": replace(UNDELIVERED, shows=("undelivered", '"3"')),
    "undelivered": UNDELIVERED,
    "rule-delivery": State(
        "the policy of the key lacks EventBridge",
        parameters=key_without_eventbridge,
        metrics={"rule-delivery": {"reservations_failed": 5}},
        shows=("somebody",),
        edit=lambda policy: policy["Statement"].append(EVENTS),
        is_over=key_admits_eventbridge,
        on_paper="that the key refuses EventBridge: moto does not evaluate its policy",
    ),
    "schedule-delivery": State(
        "the Scheduler drops an expiry",
        metrics={"schedule-delivery": {"InvocationDroppedCount": 1}},
        shows=("1.0",),
        on_paper="the failed delivery: moto's Scheduler sends nothing",
    ),
    "heartbeat": State("a rule is lost", begin=lose_rule, shows=("PaymentEvents",)),
    "misconfigured": State(
        "the token is rotated",
        metrics={"misconfigured": {"reservation_api_denied": 5}},
        log=(reason("reservation_api_denied"),),
        shows=("reservation_api_denied",),
        edit=lambda settings: settings.update(reservation_api_token="second"),
        is_over=lambda rehearsal: secret(rehearsal)["reservation_api_token"] == "second",
        then=("Write the secret",),
    ),
    "new-dead-letters": State(
        "a producer sends invalid events",
        begin=INVALID,
        metrics={"new-dead-letters": {"worker_dead_letters_total": 3}},
        log=({"message": "record is a dead letter", "reason_code": "invalid_payload", "event_type": "unknown"},),
        shows=("invalid_payload",),
        then=(letters("invalid_payload", "invalid"),),
    ),
    "dead-letters": State(
        "invalid events are dead letters",
        begin=INVALID,
        shows=("3.0",),
        then=(letters("invalid_payload", "invalid"),),
    ),
    "late-events": State(
        "events are an hour late",
        metrics={"late-events": {"lateness": 3600}},
        log=(LATE,),
        shows=("3600.0",),
    ),
    "new-unmatched": State("a type is renamed", begin=rename_type, shows=("payment.approved.v2",), then=("unmatched",)),
    "unmatched": State("a type is renamed", begin=rename_type, shows=("payment.approved.v2",)),
    "slow": SLOW_SERVICE,
    "latency": SLOW_SERVICE,
    "duration": State("a batch takes 28 of 30 s", metrics={"duration": {"longest": 28_000}}, shows=("28000.0",)),
    "concurrency": State("48 of 50 invocations run", metrics={"concurrency": {"running": 48}}, shows=("48.0",)),
    "canary": BAD_VERSION,
    "canary-error-rate": BAD_VERSION,
    "canary-errors": State(
        "the newest version does not start",
        metrics={"canary-errors": {"Errors": 2}},
        shows=("AdditionalVersionWeights",),
        is_over=alias_is_whole,
        then=(ROLL_BACK,),
        on_paper=CODEDEPLOY,
    ),
    "slo-fast-burn": FAST_BURN,
    "slo-burn-1h": FAST_BURN,
    "slo-burn-5m": FAST_BURN,
    "slo-slow-burn": SLOW_BURN,
    "slo-burn-24h": SLOW_BURN,
    "slo-burn-2h": SLOW_BURN,
}

# The calls that moto lacks, each with its exact parameters and the reply. Times are minutes ago.
STUBS = {
    "lambda get_account_settings": ({}, {"AccountLimit": {"ConcurrentExecutions": 1000}}),
    "cloudtrail lookup_events": (
        {"StartTime": 180, "EndTime": 0,
         "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "PutKeyPolicy"}]},
        {"Events": [{"EventTime": str(utcnow()), "Username": "somebody"}]}),
}
