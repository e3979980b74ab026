"""What the targets of the Makefile print."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(*arguments, **environment):
    """Runs make, and not as a part of the make that may have started this test."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, env=inherited | environment,
                          capture_output=True, text=True)


def write_program(path, script):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


class Makefile(unittest.TestCase):
    def test_the_list_of_targets_fits_80_columns(self):
        lines = make("help").stdout.splitlines()
        self.assertIn("make demo                 run every event of events/ through the function under", lines)
        self.assertGreater(len(lines), 40)
        self.assertEqual([line for line in lines if len(line) > 80], [])

    def test_dead_letters_runs_the_tool_and_says_how_to_run_other_commands(self):
        variables = ["DEAD_LETTER_QUEUE_URL", "EVENT_QUEUE_URL", "LOG_GROUP"]
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder)
            write_program(target / "bin/cargo", f"mkdir -p {target}/debug && cp {target}/bin/tool {target}/debug/dead-letters")
            write_program(target / "bin/tool", 'echo "$*"')
            environment = {"CARGO_TARGET_DIR": folder, "PATH": f"{target}/bin:{os.environ['PATH']}"}
            # The second command was copied from a terminal.
            for options, name, command, copied in [
                ([], "local", "make dead-letters", "plan --message 1"),
                (["PROCESS=12"], "local-12", "make dead-letters PROCESS=12", "dead-letters plan \\\n  --message\n1"),
            ]:
                refused = make("dead-letters", *options, **environment)
                self.assertIn("error: make local is not running", refused.stderr)
                (target / f"{name}.env").write_text("".join(f"export {key}='{name} {key}'\n" for key in variables))
                is_first_build = not (target / "debug").exists()

                run = make("dead-letters", f"RUN={copied}", *options, **environment)

                self.assertEqual(run.stdout, f"plan --message 1 --queue-url {name} DEAD_LETTER_QUEUE_URL --event-queue-url {name} "
                                             f"EVENT_QUEUE_URL --log-group {name} LOG_GROUP\n")
                last = f"To run a command `dead-letters …` here: {command} RUN='…'\n"
                first = "Building dead-letters. This takes some minutes ...\n" if is_first_build else ""
                self.assertEqual(run.stderr, first + last)


if __name__ == "__main__":
    unittest.main()
