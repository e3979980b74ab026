"""Evaluates template.yaml for given parameters, offline: applies the SAM transform as `sam deploy` does, then the
intrinsic functions. A value that only AWS can know stays a symbol, for example `Queue.Arn`."""

import functools
import json
import logging
import os
import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
REGION, ACCOUNT, STACK_NAME = "ap-northeast-2", "123456789012", "worker"
os.environ["AWS_DEFAULT_REGION"] = REGION
logging.disable(logging.WARNING)

from samcli.yamlhelper import yaml_parse  # noqa: E402 (boto3 reads the region when it is imported)
from samtranslator.translator.transform import transform  # noqa: E402

SERVICES = {"InventoryGrpcAddr": "inventory:50051", "ReservationApiBase": "http://reservations"}
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:worker-AbCdEf"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/ticket-reservation-events"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/queues"
PAGES, TICKETS = (f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}" for name in ("pages", "tickets"))
VARIANTS = {
    "standard": SERVICES,
    "fifo": {**SERVICES, "QueueType": "fifo"},
    "vpc": {**SERVICES, "SubnetIds": "subnet-0a,subnet-0b", "SecurityGroupIds": "sg-0a"},
    "secret": {"SecretArn": SECRET, "SecretKmsKeyArn": KEY},
    "key": {**SERVICES, "KmsKeyArn": KEY},
    "fifo with key": {**SERVICES, "QueueType": "fifo", "KmsKeyArn": KEY},
    "pollers": {**SERVICES, "ProvisionedPollersMin": "2", "ProvisionedPollersMax": "20"},
    "large batches": {**SERVICES, "BatchSize": "100", "BatchingWindow": "1"},
    "all at once": {**SERVICES, "DeploymentType": "AllAtOnce", "MetricsSink": "emf"},
    "own bus": {**SERVICES, "CreateEventBus": "true", "AlarmEmail": "ops@example.com"},
    "reserved": {**SERVICES, "ReservedConcurrency": "40"},
    "operators": {**SERVICES, "CreateOperatorPolicy": "true"},
    "other topics": {**SERVICES, "PageTopicArn": PAGES, "TicketTopicArn": TICKETS, "AlarmEmail": "ops@example.com"},
    "no smoke test": {**SERVICES, "SmokeTestEnabled": "false"},
    "no metrics": {**SERVICES, "MetricsSink": "none", "ArchiveDays": "0"},
}


def source():
    """template.yaml before the SAM transform."""
    return yaml_parse((ROOT / "template.yaml").read_text())


class NoManagedPolicies:
    def load(self):
        return {}


@lru_cache(maxsize=None)
def _transformed(parameters):
    template = source()
    template["Resources"]["Worker"]["Properties"]["CodeUri"] = "s3://artifacts/bootstrap.zip"
    return transform(template, dict(parameters), NoManagedPolicies())


def transformed(parameters):
    """The CloudFormation template after the SAM transform, as JSON."""
    return json.dumps(_transformed(tuple(sorted(parameters.items()))))


class NoValue(Exception):
    """AWS::NoValue: the property is not set."""


class Stack:
    """The resources and outputs that the template defines for the given parameters."""

    def __init__(self, parameters, known=None, template=None):
        """`known` maps symbols such as `Queue` or `Queue.Arn` to their values after a deployment. `template` is a template
        without a transform, instead of template.yaml."""
        template = template or json.loads(transformed(parameters))
        pseudo = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::StackName": STACK_NAME,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }
        defaults = {name: str(p["Default"]) for name, p in template["Parameters"].items() if "Default" in p}
        self._known = known or {}
        self._values = pseudo | defaults | parameters | self._known
        self._template = template
        resources = template["Resources"].items()
        resources = {name: entry for name, entry in resources if self._condition(entry.get("Condition"))}
        self.resources = {name: self.evaluate(entry) for name, entry in resources.items()}
        outputs = template["Outputs"].items()
        outputs = {name: output["Value"] for name, output in outputs if self._condition(output.get("Condition"))}
        self.outputs = self.evaluate(outputs)

    def __getitem__(self, name):
        return self.resources[name]["Properties"]

    def of_type(self, kind):
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == f"AWS::{kind}"}

    def violated_rules(self):
        """The names of the template rules that these parameters violate."""
        rules = self._template["Rules"].items()
        return [name for name, rule in rules if self._violates(rule)]

    def _violates(self, rule):
        holds = all(self.evaluate(assertion["Assert"]) for assertion in rule["Assertions"])
        return self.evaluate(rule["RuleCondition"]) and not holds

    def _condition(self, name):
        return name is None or self.evaluate(self._template["Conditions"][name])

    def evaluate(self, value):
        if isinstance(value, list):
            return [item for item in map(self._or_none, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            function = getattr(self, "_" + name.removeprefix("Fn::").lower(), None)
            if function and (name.startswith("Fn::") or name in ("Ref", "Condition")):
                return function(argument)
        evaluated = {key: self._or_none(item) for key, item in value.items()}
        return {key: item for key, item in evaluated.items() if item is not None}

    def _or_none(self, value):
        try:
            return self.evaluate(value)
        except NoValue:
            return None

    def _ref(self, name):
        if name == "AWS::NoValue":
            raise NoValue
        return self._values.get(name, name)

    def _getatt(self, path):
        path = path if isinstance(path, str) else ".".join(path)
        return self._known.get(path, path)

    def _if(self, argument):
        condition, then, otherwise = argument
        return self.evaluate(then if self._condition(condition) else otherwise)

    def _equals(self, sides):
        left, right = map(self.evaluate, sides)
        return str(left) == str(right)

    def _not(self, argument):
        return not self.evaluate(argument[0])

    def _and(self, arguments):
        return all(map(self.evaluate, arguments))

    def _or(self, arguments):
        return any(map(self.evaluate, arguments))

    def _contains(self, argument):
        values, value = map(self.evaluate, argument)
        return str(value) in values

    def _findinmap(self, argument):
        name, first, second = map(self.evaluate, argument)
        return self._template["Mappings"][name][str(first)][str(second)]

    def _join(self, argument):
        separator, parts = map(self.evaluate, argument)
        return separator.join(parts)

    def _split(self, argument):
        separator, text = map(self.evaluate, argument)
        return text.split(separator)

    def _select(self, argument):
        index, values = map(self.evaluate, argument)
        # A symbol cannot be split, so its parts are symbols too.
        return values[index] if index < len(values) else f"{values[0]}[{index}]"

    def _sub(self, argument):
        text, variables = argument if isinstance(argument, list) else (argument, {})
        values = self._values | self.evaluate(variables)
        return re.sub(r"\$\{([^}]+)\}", lambda match: str(values.get(match[1], match[1])), text)


def each_variant(test):
    """Runs a test for every variant, with the name of the variant and its evaluated stack."""

    @functools.wraps(test)
    def run(self):
        for name, parameters in VARIANTS.items():
            with self.subTest(name):
                test(self, name, Stack(parameters))

    return run
