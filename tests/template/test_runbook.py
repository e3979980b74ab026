"""The AWS commands in docs/operations.md are valid. Those of dead-letters are checked in ops/src/cli.rs."""

import re
import subprocess
import unittest

import botocore.session
from botocore import xform_name

from template import ROOT, source

RUNBOOK = (ROOT / "docs/operations.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
# Options that the AWS CLI accepts for every operation.
GLOBAL_OPTIONS = {"region", "query", "output", "cli-binary-format"}


class Commands(unittest.TestCase):
    def test_every_aws_command_and_its_options_exist(self):
        session = botocore.session.get_session()
        in_text = [" ".join(command.split()) for command in re.findall(r"`(aws [^`]+)`", RUNBOOK)]
        text = re.sub(r"\\\n\s*", " ", "\n".join(BLOCKS + in_text))
        commands = re.findall(r"\baws ([a-z]+) ([a-z-]+)([^\n]*)", text)
        self.assertGreater(len(commands), 8)
        for service, operation, rest in commands:
            model = session.get_service_model({"deploy": "codedeploy"}.get(service, service))
            (name,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
            members = {xform_name(member, "-") for member in model.operation_model(name).input_shape.members}
            # A command substitution has its own options, which are checked with that command.
            options = re.findall(r"--(?:no-)?([a-z][a-z-]+)", re.sub(r"\$\(.*?\)", "", rest))
            self.assertEqual(set(options) - members - GLOBAL_OPTIONS, set(), f"{service} {operation}")

    def test_every_command_in_the_text_names_the_region(self):
        for command in re.findall(r"`(aws [^`]+)`", RUNBOOK):
            self.assertIn('--region "$AWS_REGION"', " ".join(command.split()))

    def test_every_block_is_valid_bash(self):
        for block in BLOCKS:
            checked = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
            self.assertEqual(checked.stderr, "", block)

    def test_the_section_of_each_alarm_says_what_it_means_how_it_ends_and_what_it_costs(self):
        sections = re.findall(r"^### `([a-z0-9-]+)`\n(.*?)(?=^##)", RUNBOOK, re.MULTILINE | re.DOTALL)
        self.assertGreater(len(sections), 25)
        for alarm, section in sections:
            if section.startswith("Part of") or "notifies nobody" in section:
                continue
            self.assertIn("**It is over**", section, alarm)
            self.assertIn("**Consequence.**", section, alarm)
            self.assertIn("**Meaning.**", section, alarm)
            self.assertIn("```sh", section, alarm)

    def test_the_definitions_call_aws_with_the_given_range_and_dimensions(self):
        definitions = BLOCKS[0]
        for call, expected in {
            "metric NS name Sum 30": "get-metric-statistics --namespace NS --metric-name name --statistics Sum",
            "metric NS name p95 30 Name=a,Value=b Name=c,Value=d": "--extended-statistics p95",
            "ringing": "describe-alarms --alarm-name-prefix reservation-worker-prod- --state-value ALARM",
            "query 15 'a | b'": "start-query --log-group-name group --query-string a | b",
        }.items():
            # A fake CLI that prints its arguments. `out` would need a stack.
            fake = 'aws() { shift; echo "$@" >&2; echo id; }; sleep() { :; }; date() { echo 6000; }; out() { echo group; }'
            script = f"{definitions}\n{fake}\n{call}"
            ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
            printed = re.sub(r" --(region|start-time|end-time) \S+", "", ran.stderr)
            self.assertIn(expected, printed)
            if call.startswith(("metric", "query")):
                minutes = int(call.split()[4 if call.startswith("metric") else 1])
                self.assertIn(f"--start-time {6000 - 60 * minutes} --end-time 6000", ran.stderr)
            self.assertIn("--region ap-northeast-2", ran.stderr)
            self.assertEqual("--dimensions Name=a,Value=b Name=c,Value=d" in ran.stderr, "Name=a" in call)

    def test_outputs_and_parameters_exist_in_the_template(self):
        template = source()
        self.assertLessEqual(set(re.findall(r"\bout ([A-Z]\w+)", RUNBOOK)), set(template["Outputs"]))
        named = set(re.findall(r"\b([A-Z][a-z]\w+)=\w", " ".join(re.findall(r"`([^`\n]+)`", RUNBOOK))))
        self.assertIn("DeploymentType", named)
        keys_of_the_aws_cli = {"OutputKey", "UsePreviousValue"}
        self.assertLessEqual(named, set(template["Parameters"]) | keys_of_the_aws_cli)


if __name__ == "__main__":
    unittest.main()
