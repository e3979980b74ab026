"""The tools of the build machine are installed by hash, from lock files that belong to their lists."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"
LISTS = sorted(path.stem for path in TOOLS.glob("*.in"))


def requirements(name):
    """The lines of a list with their comments and file names removed, for example `moto==5.2.5`."""
    lines = (line.split("#")[0].split(";")[0].strip() for line in (TOOLS / f"{name}.in").read_text().splitlines())
    return {line.lower() for line in lines if line and not line.startswith("-r")}


def locked(name):
    """The hashes of each version in a lock file, for example of `moto==5.2.5`."""
    text = (TOOLS / f"{name}.txt").read_text().replace("\\\n", " ")
    entries = (re.split(r" --hash=", line.strip()) for line in text.splitlines() if not line.startswith("#"))
    return {re.split(r"[ ;]", entry)[0].lower(): [h.strip() for h in hashes] for entry, *hashes in entries}


class Tools(unittest.TestCase):
    def test_each_list_pins_the_version_of_each_tool(self):
        self.assertEqual(LISTS, ["base", "checkov", "console", "deploy", "lock"])
        for name in LISTS:
            for requirement in requirements(name):
                self.assertRegex(requirement, r"^[a-z0-9._-]+==[0-9][0-9a-z.]*$")

    def test_each_lock_file_contains_the_tools_of_its_list(self):
        for name in LISTS:
            self.assertLessEqual(requirements(name), set(locked(name)), f"run `make lock`: {name}")

    def test_each_package_has_a_version_and_hashes(self):
        for name in LISTS:
            for package, hashes in locked(name).items():
                self.assertRegex(package, r"^[a-z0-9._-]+==[0-9][0-9a-z.]*$", name)
                self.assertTrue(hashes, package)
                for digest in hashes:
                    self.assertRegex(digest, "^sha256:[0-9a-f]{64}$", package)

    def test_the_two_lists_of_one_environment_do_not_contradict_each_other(self):
        self.assertLessEqual(set(locked("base")), set(locked("deploy")))

    def test_an_old_python_is_refused_by_its_version(self):
        # It stands before the real one in PATH, and runs the check of the version with an older one.
        program = f"""#!/bin/sh
exec "{sys.executable}" -c 'import sys
sys.version_info, sys.version = (3, 9, 18), "3.9.18 (main)"
exec(sys.argv[2])' "$@"
"""
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder) / "python3"
            python.write_text(program)
            python.chmod(0o755)
            path = f"{folder}:{os.environ['PATH']}"
            made = subprocess.run(
                ["make", "--no-print-directory", "tools", f"VENV={folder}/venv"],
                cwd=TOOLS.parent, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
            )
        self.assertEqual(made.returncode, 2)
        expected = "error: python3 is Python 3.9.18, but Python 3.10 or newer is needed; see https://www.python.org/downloads\n"
        self.assertTrue(made.stderr.startswith(expected), made.stderr)
        self.assertEqual(made.stdout, "")


if __name__ == "__main__":
    unittest.main()
