"""Each finding of a linter that is suppressed has its reason beside it."""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]
REASON = r"\S.{20,}"
# What suppresses a finding, and what the line must be so that it contains the reason.
FORMS = {
    r"checkov:skip=": rf"# checkov:skip=CKV\w+:{REASON}$",
    r"zizmor: ignore": rf"# zizmor: ignore\[[a-z-]+\] {REASON}$",
    r"shellcheck disable=": rf"# shellcheck disable=SC\d+ # {REASON}$",
    r"^    disable: true": rf"disable: true # {REASON}$",
    r"ignore_checks": r"ignore_checks: \[W1033\]",  # the comment is above it
}


class Suppressions(unittest.TestCase):
    def test_each_suppressed_finding_has_its_reason_beside_it(self):
        patterns = [argument for pattern in FORMS for argument in ("-e", pattern)]
        where = (".ci", ".github", "template.yaml", "pipeline.yaml")
        command = ["git", "grep", "--extended-regexp", "--no-index", "-h", *patterns, "--", *where]
        lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
        self.assertTrue(lines)
        for line in lines:
            (form,) = [form for pattern, form in FORMS.items() if re.search(pattern, line)]
            self.assertRegex(line, form)


if __name__ == "__main__":
    unittest.main()
