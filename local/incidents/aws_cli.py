"""The command `aws` of an incident: accepts a call of the AWS CLI version 2 exactly if it is valid for the model of its
service, and makes it."""

import json
import os
import sys
from pathlib import Path

import boto3
import jmespath
from botocore import xform_name
from botocore.validate import ParamValidator

# Options of the AWS CLI itself.
GLOBAL = {"query", "output", "region", "cli-binary-format"}


def main(arguments):
    service, operation, *arguments = arguments
    options = {}
    for argument in arguments:
        if argument.startswith("--"):
            values = options[argument.removeprefix("--")] = []
        else:
            values.append(argument)
    if "region" not in options:
        sys.exit("aws: the command does not name a region")
    client = boto3.client({"deploy": "codedeploy"}.get(service, service), region_name=options["region"][0])
    names = [name for name in client.meta.service_model.operation_names if xform_name(name, "-") == operation]
    if not names:
        sys.exit(f"aws: {service} has no operation {operation}")
    shape = client.meta.service_model.operation_model(names[0]).input_shape
    members = {xform_name(member, "-"): member for member in shape.members}
    parameters = {}
    for option, values in options.items():
        if option in GLOBAL:
            continue
        negated = option.startswith("no-") and option not in members
        name = option.removeprefix("no-") if negated else option
        if name not in members:
            sys.exit(f"aws: {service} {operation} has no option --{option}")
        parameters[members[name]] = read(shape.members[members[name]], values, not negated)
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        sys.exit(f"aws: {report.generate_report()}")
    reply = getattr(client, xform_name(names[0]))(**parameters)
    reply.pop("ResponseMetadata")
    reply = json.loads(json.dumps(reply, default=lambda value: value.isoformat()))
    if "query" in options:
        reply = jmespath.search(options["query"][0], reply)
    if options.get("output", ["json"]) == ["json"]:
        print(json.dumps(reply, indent=4))
    else:
        for line in text(reply):
            print(line)


def read(shape, values, flag):
    """The value of an option."""
    if shape.type_name == "boolean":
        return flag
    if len(values) == 1 and values[0].startswith("file://"):
        values = [Path(values[0].removeprefix("file://")).read_text()]
    value = values[0]
    if shape.type_name in ("structure", "list", "map") and value.lstrip()[0] in "[{":
        return json.loads(value)
    if shape.type_name == "list":
        return [read(shape.member, [value], flag) for value in values]
    if shape.type_name in ("structure", "map"):
        fields = dict(field.split("=", 1) for field in value.split(","))
        member = (lambda name: shape.members[name]) if shape.type_name == "structure" else (lambda _: shape.value)
        return {name: read(member(name), [value], flag) for name, value in fields.items()}
    return int(value) if shape.type_name in ("integer", "long") else value


def text(value):
    """The lines of the output `text`; the output `table` has the same values here."""
    if not isinstance(value, (list, dict)):
        return ["" if value is None else str(value)]
    items = list(value.values()) if isinstance(value, dict) else value
    if any(isinstance(item, (list, dict)) for item in items):
        return [line for item in items for line in text(item)]
    return ["\t".join(str(item) for item in items)] if items else []


if __name__ == "__main__":
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    main(sys.argv[1:])
