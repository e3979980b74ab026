"""Runs the commands of every page of docs/operations.md in bash, in order, and checks each call of AWS.

A replaced `aws` records the calls. Each call must be valid for the model of its service, and must name the region."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from aws_command import read_command
from template import REGION, ROOT, SERVICES, Stack

RUNBOOK = (ROOT / "docs/operations.md").read_text()
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
    get-secret-value | get-key-policy) echo '{}';;
  esac
}
sleep() { :; }
EDITOR=true
rm() { :; }  # The files are read after the page.
# They need the letters of a queue. local/incidents/test_sections.py runs them.
dead-letters() { :; }
grep() { :; }
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
        self.assertEqual(read_command(call, directory).options["region"], REGION, call)


if __name__ == "__main__":
    unittest.main()
