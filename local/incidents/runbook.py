"""Runs commands of docs/operations.md against the local stack, and nothing but them."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from account import ROOT
from template import REGION

TEXT = Path(ROOT, "docs/operations.md").read_text()


def blocks(heading):
    """The blocks of commands of the section with this heading, such as the name of an alarm."""
    parts = re.split(r"^#{2,3} `?(.*?)`?\n", TEXT, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2]))
    return re.findall(r"^ *```sh\n(.*?)^ *```", sections[heading], re.MULTILINE | re.DOTALL)


DEFINITIONS = re.findall(r"```sh\n(.*?)```", TEXT[: TEXT.index("\n## ")], re.DOTALL)[0]


class Shell:
    """A folder and an environment in which the commands reach the local stack. `definitions` is code in bash that runs before
    the commands, after the definitions of the runbook."""

    def __init__(self, world, definitions=""):
        self.world, self.definitions = world, f"{DEFINITIONS}\n{definitions}"
        self.folder = tempfile.TemporaryDirectory()
        programs = Path(self.folder.name, "programs")
        programs.mkdir()
        self.told = programs / "told"
        self.told.touch()
        target = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")
        for name, command in {
            "aws": f"{sys.executable} {ROOT}/local/incidents/aws_cli.py",
            "dead-letters": f"{target}/debug/dead-letters --endpoint-url {world.account.endpoint}",
            "tell": f"echo >>{self.told}",
        }.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {command} "$@"\n' if name != "tell" else f'#!/bin/sh\necho "$1" >>{self.told}\n')
            program.chmod(0o755)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | {
            "PATH": f"{programs}:{os.environ['PATH']}", "AWS_ENDPOINT_URL": world.account.endpoint,
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION,
            "USE_SECRET_MANAGER": "true", "SECRET_NAME": world.account.secret,
        }

    def step(self, step):
        """Does a step of a script. A command that the runbook does not contain is refused."""
        if callable(step):
            return step(self.world, self.folder.name)
        if " " in step and not re.search(rf"^#+ `?{re.escape(step)}`?$", TEXT, re.MULTILINE):
            for line in step.splitlines():
                assert line in TEXT, f"the runbook does not contain: {line}"
            return self.run(step)
        return self.run("\n".join(blocks(step)))

    def run(self, commands):
        self.world.say("\n".join(f"$ {line}" for line in commands.splitlines()))
        # The local log answers a query at once.
        script = f"set -euo pipefail\n{self.definitions}\nsleep() {{ :; }}\n{commands}"
        ran = subprocess.run(["bash", "-c", script], cwd=self.folder.name, env=self.environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.world.say(ran.stdout)
        if ran.returncode:
            raise SystemExit(f"a command of the runbook failed with the status {ran.returncode}\n{ran.stdout}")
        return ran.stdout

    def interactive(self):
        """A shell for a person, until it ends."""
        start = Path(self.folder.name, "programs", "start")
        start.write_text(f"{DEFINITIONS}\nPS1='on call $ '\n")
        subprocess.run(["bash", "--rcfile", str(start), "-i"], cwd=self.folder.name, env=self.environment, check=False)

    def calls(self):
        """Whom the person has told since the last time."""
        names, _ = self.told.read_text().split(), self.told.write_text("")
        return names
