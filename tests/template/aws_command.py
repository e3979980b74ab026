"""Reads a command of the AWS CLI version 2, and refuses it unless it is valid for the model of its service."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import botocore.session
from botocore import xform_name
from botocore.validate import ParamValidator

# Options of the AWS CLI itself.
GLOBAL = {"query", "output", "region", "cli-binary-format"}
SERVICES = {"deploy": "codedeploy"}  # whose name in the AWS CLI is another one


class Refused(Exception):
    """The AWS CLI would not accept the command."""


@dataclass
class Command:
    """`service` and `operation` are the names of botocore; `options` are those of the AWS CLI itself."""

    service: str
    operation: str
    parameters: dict
    options: dict


@lru_cache
def model(service):
    return botocore.session.get_session().get_service_model(SERVICES.get(service, service))


def read_command(arguments, folder="."):
    """`folder` is where the command is run, for the names of files in its options."""
    service, operation, *arguments = arguments
    given = {}
    for argument in arguments:
        if argument.startswith("--"):
            values = given[argument.removeprefix("--")] = []
        else:
            values.append(argument)
    names = [name for name in model(service).operation_names if xform_name(name, "-") == operation]
    if not names:
        raise Refused(f"{service} has no operation {operation}")
    shape = model(service).operation_model(names[0]).input_shape
    members = {xform_name(member, "-"): member for member in shape.members}
    options = {option: given.pop(option)[0] for option in GLOBAL & set(given)}
    if "region" not in options:
        raise Refused("the command does not name a region")
    parameters = {}
    for option, values in given.items():
        negated = option.startswith("no-") and option not in members
        name = option.removeprefix("no-") if negated else option
        if name not in members:
            raise Refused(f"{service} {operation} has no option --{option}")
        member = members[name]
        parameters[member] = read(shape.members[member], values, not negated, folder)
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise Refused(report.generate_report())
    return Command(SERVICES.get(service, service), xform_name(names[0]), parameters, options)


def read(shape, values, flag, folder):
    """The value of an option."""
    if shape.type_name == "boolean":
        return flag
    if len(values) == 1 and values[0].startswith("file://"):
        values = [Path(folder, values[0].removeprefix("file://")).read_text()]
    text = values[0]
    if shape.type_name in ("structure", "list", "map") and text.lstrip()[0] in "[{":
        return json.loads(text)
    if shape.type_name == "list":
        return [read(shape.member, [value], flag, folder) for value in values]
    if shape.type_name in ("structure", "map"):
        fields = dict(field.split("=", 1) for field in text.split(","))
        member = (lambda name: shape.members[name]) if shape.type_name == "structure" else (lambda _: shape.value)
        return {name: read(member(name), [value], flag, folder) for name, value in fields.items()}
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "blob":
        return text.encode()
    if getattr(shape, "enum", None) and text not in shape.enum:
        raise Refused(f"{text} is not one of {shape.enum}")
    return text
