"""Runs the commands of every page of docs/operations.md in bash, in order, and checks each call of AWS.

A replaced `aws` records the calls. Each call must be valid for the model of its service, and must name the region."""

import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import botocore.session
from botocore import xform_name
from botocore.validate import ParamValidator

from template import REGION, ROOT, SERVICES, Stack

RUNBOOK = (ROOT / "docs/operations.md").read_text()
# Options of the AWS CLI itself.
GLOBAL_OPTIONS = {"query", "output", "cli-binary-format"}
# The section describes the tool dead-letters or commands with jq, which have their own tests.
NOT_RUN = {"Dead letters"}
ARGUMENT, CALL = "\x1f", "\x1e"
AWS = """
aws() {
  printf '%s\\x1f' "$@" >> calls; printf '\\x1e' >> calls
  case $2 in
    describe-stacks)
      if [[ "$*" =~ OutputKey==\\'([A-Za-z]+)\\' ]]; then printf '%s\\n' "${OUTPUTS[${BASH_REMATCH[1]}]:?no such output}"
      else echo parameter; fi;;
    start-query) echo query-id;;
    get-secret-value) echo '{}';;
  esac
}
sleep() { :; }
"""


def pages():
    """The title and the blocks of commands of each section."""
    parts = re.split(r"^#{2,3} (.*)\n", RUNBOOK, flags=re.MULTILINE)
    for title, text in zip(parts[1::2], parts[2::2]):
        blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
        if blocks and title not in NOT_RUN:
            yield title, blocks


def definitions():
    (block,) = re.findall(r"```sh\n(.*?)```", RUNBOOK[: RUNBOOK.index("\n## ")], re.DOTALL)
    return block


class Commands(unittest.TestCase):
    def setUp(self):
        self.session = botocore.session.get_session()
        account = "arn:aws:service:ap-northeast-2:123456789012"
        outputs = {name: f"{account}:kind/{name}/{name}" for name in Stack(SERVICES).outputs}
        self.outputs = "declare -A OUTPUTS=(" + " ".join(f"[{k}]={v}" for k, v in outputs.items()) + ")\n"

    def run_page(self, blocks, directory):
        """The calls that the blocks make, each as a list of arguments."""
        script = "\n".join(["set -euo pipefail", self.outputs, definitions(), AWS, *blocks])
        ran = subprocess.run(["bash", "-c", script], cwd=directory, capture_output=True, text=True, check=False)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        calls = Path(directory, "calls").read_text().split(CALL)[:-1]
        return [call.split(ARGUMENT)[:-1] for call in calls]

    def test_every_page_runs_and_makes_valid_calls(self):
        titles = []
        for title, blocks in pages():
            titles.append(title)
            with self.subTest(title), tempfile.TemporaryDirectory() as directory:
                calls = self.run_page(blocks, directory)
                self.assertTrue(calls)
                for call in calls:
                    self.check(call, directory)
        self.assertGreater(len(titles), 30)

    def check(self, call, directory):
        service, operation, *arguments = call
        model = self.session.get_service_model({"deploy": "codedeploy"}.get(service, service))
        (name,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
        shape = model.operation_model(name).input_shape
        options = {}
        for argument in arguments:
            if argument.startswith("--"):
                values = options[argument.removeprefix("--")] = []
            else:
                values.append(argument)
        self.assertEqual(options.pop("region"), [REGION], call)
        members = {xform_name(member, "-"): member for member in shape.members}
        parameters = {}
        for option, values in options.items():
            if option in GLOBAL_OPTIONS:
                continue
            is_negated = option.startswith("no-") and option not in members
            member = members[option.removeprefix("no-") if is_negated else option]
            parameters[member] = read(shape.members[member], values, not is_negated, directory)
        report = ParamValidator().validate(parameters, shape)
        self.assertFalse(report.has_errors(), f"{call}: {report.generate_report()}")


def read(shape, values, flag, directory):
    """The value of an option, as the AWS CLI reads it."""
    if shape.type_name == "boolean":
        return flag
    if len(values) == 1 and values[0].startswith("file://"):
        values = [Path(directory, values[0].removeprefix("file://")).read_text()]
    text = values[0]
    if shape.type_name in ("structure", "list", "map") and text.lstrip()[0] in "[{":
        return json.loads(text)
    if shape.type_name == "list":
        return [read(shape.member, [value], flag, directory) for value in values]
    if shape.type_name == "structure":
        fields = dict(field.split("=", 1) for field in text.split(","))
        return {name: read(shape.members[name], [value], flag, directory) for name, value in fields.items()}
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "blob":
        return text.encode()
    assert not getattr(shape, "enum", None) or text in shape.enum, f"{text} is not one of {shape.enum}"
    return text


if __name__ == "__main__":
    unittest.main()
