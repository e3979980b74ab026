"""What docs/operations.md tells to type exists, and does not lose an event when it fails half-way."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import botocore.session
from botocore import xform_name

import stack
from stack import ROOT

RUNBOOK = (ROOT / "docs/operations.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
# What the AWS CLI takes besides the members of an operation.
OF_THE_CLI = {"query", "output"}


class Commands(unittest.TestCase):
    def test_each_is_one_of_the_aws_cli_with_options_that_it_takes(self):
        session = botocore.session.get_session()
        text = re.sub(r"\\\n\s*", " ", "\n".join(BLOCKS + re.findall(r"`(aws [^`]+)`", RUNBOOK)))
        commands = re.findall(r"\baws ([a-z]+) ([a-z-]+)([^\n]*)", text)
        self.assertGreater(len(commands), 15)
        for service, operation, rest in commands:
            model = session.get_service_model({"deploy": "codedeploy"}.get(service, service))
            (name,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
            members = {xform_name(member, "-") for member in model.operation_model(name).input_shape.members}
            # An inner command has options of its own: they are looked at as that command's.
            options = re.findall(r"--(?:no-)?([a-z][a-z-]+)", re.sub(r"\$\(.*?\)", "", rest))
            self.assertEqual(set(options) - members - OF_THE_CLI, set(), f"{service} {operation}")

    def test_outputs_and_parameters_are_the_templates(self):
        template = stack.source()
        self.assertLessEqual(set(re.findall(r"\bout ([A-Z]\w+)", RUNBOOK)), set(template["Outputs"]))
        named = set(re.findall(r"\b([A-Z][a-z]\w+)=\w", " ".join(re.findall(r"`([^`\n]+)`", RUNBOOK))))
        self.assertIn("DeploymentType", named)
        self.assertLessEqual(named, set(template["Parameters"]) | {"OutputKey"})

    def test_an_undelivered_event_that_could_not_be_sent_is_not_deleted(self):
        (block,) = [block for block in BLOCKS if "delete-message" in block]
        for fails, typed in {
            "send-message": ["receive-message", "send-message"],
            "nothing": ["receive-message", "send-message", "delete-message"],
        }.items():
            self.assertEqual(self.typed(block, fails), typed)

    def typed(self, block, fails):
        """The operations that a block comes to when one of them fails."""
        with tempfile.TemporaryDirectory() as directory:
            for name in ("aws", "jq", "out"):
                command = Path(directory, name)
                command.write_text(f'#!/bin/sh\n[ {name} = aws ] && echo "$2" >> typed\n[ "$2" != {fails} ]\n')
                command.chmod(0o755)
            path = f"{directory}:{os.environ['PATH']}"
            subprocess.run(["bash", "-c", block], cwd=directory, env={"PATH": path}, check=False)
            return Path(directory, "typed").read_text().split()


if __name__ == "__main__":
    unittest.main()
