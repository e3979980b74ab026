"""The command `aws` of an incident: accepts a call of the AWS CLI version 2 exactly if it is valid for the model of its
service, and makes it."""

import json
import os
import sys

import boto3
import jmespath

sys.path[:0] = [__file__.rsplit("/local/", 1)[0] + "/tests/template"]

from aws_command import Refused, read_command  # noqa: E402 (it needs the path)


def call(command, endpoint=None):
    """The reply of the service, by default at AWS_ENDPOINT_URL."""
    client = boto3.client(command.service, region_name=command.options["region"], endpoint_url=endpoint)
    reply = getattr(client, command.operation)(**command.parameters)
    reply.pop("ResponseMetadata")
    return json.loads(json.dumps(reply, default=lambda value: value.isoformat()))


def output(command, reply):
    """What the AWS CLI prints."""
    if "query" in command.options:
        reply = jmespath.search(command.options["query"], reply)
    if command.options.get("output", "json") == "json":
        return json.dumps(reply, indent=4) + "\n"
    return "".join(f"{line}\n" for line in text(reply))


def text(value):
    """The lines of the output `text`; the output `table` has the same values here."""
    if not isinstance(value, (list, dict)):
        return [str(value)]
    items = list(value.values()) if isinstance(value, dict) else value
    if any(isinstance(item, (list, dict)) for item in items):
        return [line for item in items for line in text(item)]
    return ["\t".join(str(item) for item in items)] if items else []


if __name__ == "__main__":
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    try:
        command = read_command(sys.argv[1:])
    except Refused as reason:
        sys.exit(f"aws: {reason}")
    print(output(command, call(command)), end="")
