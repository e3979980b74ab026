"""The linker script for builds with a profile."""

import subprocess
import sys
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "tools/code_order.py"

PROFILE = """Counters:
  often:
    Hash: 0x0000000000000001
    Counters: 2
    Block counts: [0, 70]
  my_crate.f00-cgu.0;_ZN8my_crate4$LT$T$GT$5neverE:
    Hash: 0x0000000000000002
    Counters: 2
    Block counts: [0, 0]
  my_crate.f00-cgu.0;twice:
    Hash: 0x0000000000000003
    Counters: 1
    Block counts: [0]
  other.f01-cgu.0;twice:
    Hash: 0x0000000000000003
    Counters: 1
    Block counts: [1]
Instrumentation level: IR
"""


def code_order(profile):
    return subprocess.run([sys.executable, SCRIPT], input=profile, capture_output=True, text=True)


class CodeOrder(unittest.TestCase):
    def test_only_functions_that_never_ran_are_idle(self):
        script = code_order(PROFILE).stdout
        name = "_ZN8my_crate4$LT$T$GT$5neverE"
        self.assertIn(f".text.idle :\n  {{\n    *(.text.{name} .text.unlikely.{name})\n  }}", script)
        self.assertIn(".text.hot : { *(.text.hot .text.hot.*) }", script)

    def test_a_profile_without_any_run_is_refused(self):
        refused = code_order(PROFILE.replace("70", "0").replace("[1]", "[0]"))
        self.assertEqual((refused.returncode, refused.stderr), (1, "error: no function of the profile ran\n"))


if __name__ == "__main__":
    unittest.main()
