"""The AWS commands in docs/operations.md are valid. Those of dead-letters are checked in ops/src/cli.rs."""

import re
import unittest

import botocore.session
from botocore import xform_name

from template import ROOT, source

RUNBOOK = (ROOT / "docs/operations.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
# Options that the AWS CLI accepts for every operation.
GLOBAL_OPTIONS = {"query", "output"}


class Commands(unittest.TestCase):
    def test_every_aws_command_and_its_options_exist(self):
        session = botocore.session.get_session()
        text = re.sub(r"\\\n\s*", " ", "\n".join(BLOCKS + re.findall(r"`(aws [^`]+)`", RUNBOOK)))
        commands = re.findall(r"\baws ([a-z]+) ([a-z-]+)([^\n]*)", text)
        self.assertGreater(len(commands), 8)
        for service, operation, rest in commands:
            model = session.get_service_model({"deploy": "codedeploy"}.get(service, service))
            (name,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
            members = {xform_name(member, "-") for member in model.operation_model(name).input_shape.members}
            # A command substitution has its own options, which are checked with that command.
            options = re.findall(r"--(?:no-)?([a-z][a-z-]+)", re.sub(r"\$\(.*?\)", "", rest))
            self.assertEqual(set(options) - members - GLOBAL_OPTIONS, set(), f"{service} {operation}")

    def test_outputs_and_parameters_exist_in_the_template(self):
        template = source()
        self.assertLessEqual(set(re.findall(r"\bout ([A-Z]\w+)", RUNBOOK)), set(template["Outputs"]))
        named = set(re.findall(r"\b([A-Z][a-z]\w+)=\w", " ".join(re.findall(r"`([^`\n]+)`", RUNBOOK))))
        self.assertIn("DeploymentType", named)
        self.assertLessEqual(named, set(template["Parameters"]) | {"OutputKey"})


if __name__ == "__main__":
    unittest.main()
