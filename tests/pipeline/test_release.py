"""`make release` in a clone of this repository, whose remote must not change."""

import datetime
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The files that a release reads or writes, as they are in the working tree.
FILES = (".ci/release", "Makefile", "CHANGELOG.md", "Cargo.toml", "Cargo.lock", "fuzz/Cargo.toml", "fuzz/Cargo.lock")
CHANGELOG = "# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n\n## 0.0.9 - 2026-01-01\n\n- An old thing.\n"


IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "tag.gpgSign=false")


def git(*arguments, cwd):
    command = ["git", *IDENTITY, *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Makes a remote with one commit of this code."""
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        code, cls.remote = Path(directory.name, "code"), Path(directory.name, "remote")
        code.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=code, check=True, input=archive)
        for name in FILES:
            shutil.copy(ROOT / name, code / name)
        code.joinpath("CHANGELOG.md").write_text(CHANGELOG)
        git("init", "--quiet", "--initial-branch=main", cwd=code)
        git("add", "--all", cwd=code)
        git("commit", "--quiet", "--message=Add the code", cwd=code)
        git("clone", "--quiet", "--bare", code, cls.remote, cwd=directory.name)

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.clone = Path(directory.name)
        git("clone", "--quiet", self.remote, ".", cwd=self.clone)
        for option in IDENTITY[1::2]:
            self.git("config", *option.split("="))
        self.current = self.version_of_code()
        major, minor, patch = self.current.split(".")
        self.next = f"{major}.{int(minor) + 1}.{patch}"
        self.before = self.state()

    def git(self, *arguments):
        return git(*arguments, cwd=self.clone)

    def version_of_code(self):
        return re.search(r'\[workspace\.package\]\nversion = "(.*)"', (self.clone / "Cargo.toml").read_text())[1]

    def state(self):
        """What a refused release must not change."""
        return self.git("rev-parse", "HEAD"), self.git("tag"), self.git("status", "--porcelain")

    def release(self, version):
        command = ["make", "--silent", "release", f"VERSION={version}"]
        return subprocess.run(command, cwd=self.clone, capture_output=True, text=True)

    def assert_refused(self, version, reason):
        refused = self.release(version)
        self.assertNotEqual(refused.returncode, 0, version)
        self.assertIn(f"error: {reason}", refused.stderr)
        self.assertEqual(self.state(), self.before)

    def test_a_release_is_one_commit_and_one_tag_and_nothing_is_pushed(self):
        refs = git("show-ref", cwd=self.remote)
        made = self.release(self.next)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn(f"git push --atomic origin main v{self.next}", made.stdout)
        self.assertEqual(git("show-ref", cwd=self.remote), refs)

        subject, *changed = self.git("log", "--max-count=1", "--format=%s", "--name-only").split("\n")
        self.assertEqual(subject, f"Release {self.next}")
        self.assertEqual(sorted(filter(None, changed)), ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "fuzz/Cargo.lock"])
        self.assertEqual(self.git("rev-parse", "HEAD~1"), self.before[0])
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.assertEqual(self.git("rev-parse", f"v{self.next}^{{commit}}"), self.git("rev-parse", "HEAD"))

    def test_the_version_is_in_the_code_and_in_both_lock_files(self):
        self.assertEqual(self.release(self.next).returncode, 0)
        self.assertEqual(self.version_of_code(), self.next)
        for manifest in ("Cargo.toml", "fuzz/Cargo.toml"):
            command = ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", manifest]
            subprocess.run(command, cwd=self.clone, check=True, capture_output=True)
        changed = self.git("diff", "--unified=0", "HEAD~1", "--", "Cargo.lock", "fuzz/Cargo.lock").splitlines()
        lines = {line for line in changed if line[0] in "+-" and line[:3] not in ("+++", "---")}
        self.assertEqual(lines, {f'-version = "{self.current}"', f'+version = "{self.next}"'})

    def test_the_changes_get_a_section_with_a_date_and_are_the_message_of_the_tag(self):
        self.assertEqual(self.release(self.next).returncode, 0)
        date = datetime.datetime.now(datetime.timezone.utc).date()
        section = f"## Unreleased\n\n## {self.next} - {date}\n\n### Added\n"
        changelog = (self.clone / "CHANGELOG.md").read_text()
        self.assertEqual(changelog, CHANGELOG.replace("## Unreleased\n\n### Added\n", section))
        message = self.git("tag", "--list", f"v{self.next}", "--format=%(objecttype) %(contents)")
        self.assertEqual(message.rstrip(), f"tag Release {self.next}\n\n### Added\n\n- A thing.")

    def test_the_first_release_can_have_the_version_that_the_code_has_already(self):
        self.assertEqual(self.release(self.current).returncode, 0)
        self.assertEqual(self.git("tag").split(), [f"v{self.current}"])

    def test_a_version_that_is_malformed_or_older_is_refused(self):
        for version in ("", "1.2", "1.2.3-rc.1", "v1.2.3", "01.2.3", "1.2.3; true"):
            self.assert_refused(version, "VERSION must have the form 1.2.3")
        self.assert_refused("0.0.1", "0.0.1 is older than the version in Cargo.toml")

    def test_a_version_that_has_been_released_is_refused(self):
        self.git("tag", f"v{self.next}")
        self.before = self.state()
        self.assert_refused(self.next, f"the tag v{self.next} exists")

    def test_another_branch_is_refused(self):
        self.git("checkout", "--quiet", "-b", "feature")
        self.assert_refused(self.next, "a release is made on the branch main")

    def test_changes_that_are_not_committed_are_refused(self):
        self.clone.joinpath("README.md").write_text("changed")
        self.before = self.state()
        self.assert_refused(self.next, "there are changes that are not committed")

    def test_a_release_without_changes_is_refused(self):
        self.clone.joinpath("CHANGELOG.md").write_text(CHANGELOG.replace("### Added\n\n- A thing.\n\n", ""))
        self.git("commit", "--quiet", "--all", "--message=Remove the changes")
        self.before = self.state()
        self.assert_refused(self.next, 'CHANGELOG.md has nothing under "Unreleased"')

    def test_a_package_with_the_name_of_another_version_is_refused(self):
        command = ["make", "--silent", "package", "TAG=v9.9.9"]
        refused = subprocess.run(command, cwd=self.clone, capture_output=True, text=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"error: the tag is v9.9.9, but the version of the code is {self.current}", refused.stderr)


if __name__ == "__main__":
    unittest.main()
