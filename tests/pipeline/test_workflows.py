"""The workflows of GitHub: what they run, with which permissions, and which runs can delay others."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SOURCES = {path.stem: path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
WORKFLOWS = {name: yaml.safe_load(source) for name, source in SOURCES.items()}
JOBS = [(w, name, job) for w, workflow in WORKFLOWS.items() for name, job in workflow["jobs"].items()]
STEPS = [(f"{workflow}.{name}", step) for workflow, name, job in JOBS for step in job.get("steps", [])]
# Commands that bring code from elsewhere onto the machine.
INSTALLS = re.compile(r"\b(install|pip|pipx|uv|npm|npx|apt|apt-get|cargo|rustup|curl|wget|docker)\b")


class Pins(unittest.TestCase):
    def test_each_action_is_pinned_by_the_digest_of_a_commit_and_names_its_version(self):
        uses = [line.strip() for source in SOURCES.values() for line in source.splitlines() if "uses:" in line]
        for line in (line for line in uses if "./.github" not in line):
            self.assertRegex(line, r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")

    def test_an_action_has_one_version_in_all_workflows(self):
        used = {step["uses"] for _, step in STEPS if "uses" in step}
        self.assertEqual(len(used), len({action.split("@")[0] for action in used}), sorted(used))

    def test_each_job_runs_on_a_named_version_of_the_image_and_ends_by_itself(self):
        for workflow, name, job in JOBS:
            if "uses" not in job:
                runners = [i["runner"] for i in job.get("strategy", {}).get("matrix", {}).get("include", [])]
                for runner in runners or [job["runs-on"]]:
                    self.assertIn(runner, ("ubuntu-24.04", "ubuntu-24.04-arm"), f"{workflow}.{name}")
                self.assertLessEqual(job["timeout-minutes"], 90, f"{workflow}.{name}")


class Concurrency(unittest.TestCase):
    def group(self, workflow):
        return WORKFLOWS[workflow]["concurrency"]

    def test_a_pull_request_has_a_group_and_a_run_of_main_shares_its_group_with_no_other_run(self):
        group = self.group("ci")
        self.assertEqual(group["group"], "ci-${{ github.event.pull_request.number || github.run_id }}")
        self.assertEqual(group["cancel-in-progress"], "${{ github.event_name == 'pull_request' }}")

    def test_the_nightly_jobs_have_a_workflow_and_a_group_of_their_own(self):
        # YAML 1.1 reads the key `on` as true.
        triggers = {name: set(workflow[True]) for name, workflow in WORKFLOWS.items()}
        self.assertEqual(triggers["nightly"], {"schedule", "workflow_dispatch"})
        self.assertEqual(triggers["ci"], {"push", "pull_request"})
        self.assertEqual(WORKFLOWS["release"][True], {"push": {"tags": ["v*"]}})
        self.assertEqual(self.group("nightly"), {"group": "nightly", "cancel-in-progress": False})

    def test_a_release_has_the_group_of_its_tag(self):
        group = {"group": "release-${{ github.ref }}", "cancel-in-progress": False}
        self.assertEqual(self.group("release"), group)

    def test_deployments_of_one_environment_run_one_after_the_other_and_are_not_interrupted(self):
        group = WORKFLOWS["deploy"]["jobs"]["deploy"]["concurrency"]
        self.assertEqual(group, {"group": "deploy-${{ inputs.environment }}", "cancel-in-progress": False})

    def test_the_job_that_waits_for_an_approval_is_in_no_group_of_the_deployments(self):
        jobs = WORKFLOWS["ci"]["jobs"]
        self.assertEqual(jobs["approve-prod"]["environment"], "prod-approval")
        self.assertNotIn("concurrency", jobs["approve-prod"])
        self.assertEqual(jobs["deploy-prod"]["needs"], "approve-prod")


class Credentials(unittest.TestCase):
    def test_only_these_jobs_can_get_a_token_or_write(self):
        granted = {
            f"{workflow}.{name}": {permission for permission, access in job["permissions"].items() if access == "write"}
            for workflow, name, job in JOBS
            if "write" in job.get("permissions", {}).values()
        }
        expected = {name: {"id-token"} for name in ("ci.deploy-dev", "ci.deploy-prod", "deploy.deploy")}
        expected["release.publish"] = {"contents", "id-token", "attestations"}
        self.assertEqual(granted, expected)

    def test_no_permission_is_granted_to_all_jobs_except_to_read_the_code(self):
        for name, workflow in WORKFLOWS.items():
            self.assertEqual(workflow["permissions"], {"contents": "read"}, name)

    def test_no_clone_keeps_the_token(self):
        for job, step in STEPS:
            if step.get("uses", "").startswith("actions/checkout@"):
                self.assertIs(step["with"]["persist-credentials"], False, job)

    def test_a_job_with_credentials_installs_nothing(self):
        privileged = [j for j in JOBS if "write" in j[2].get("permissions", {}).values() and "steps" in j[2]]
        self.assertTrue(privileged)
        for workflow, name, job in privileged:
            for step in job["steps"]:
                self.assertNotRegex(step.get("uses", ""), "setup-|cache", f"{workflow}.{name}")
                self.assertNotRegex(step.get("run", ""), INSTALLS, f"{workflow}.{name}")

    def test_the_commands_of_a_deployment_are_sam_alone(self):
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(ROOT / "Makefile", directory)
            parameters = Path(directory, ".aws-sam/build/parameters.prod")
            parameters.parent.mkdir(parents=True)
            parameters.write_text("A=1 B=2\n")
            sam = Path(directory, "bin/sam")
            sam.parent.mkdir()
            sam.write_text('#!/bin/sh\necho "sam $@"\n')
            sam.chmod(0o755)
            variables = {"ARTIFACT_BUCKET": "artifacts", "CLOUDFORMATION_ROLE_ARN": "arn:aws:iam::1:role/stack"}
            variables |= {"SIGNING_PROFILE": "profile"}
            path = {"PATH": f"{sam.parent}:/usr/bin:/bin"}
            command = ["make", "--silent", "deploy-built", "ENV=prod"]
            made = subprocess.run(
                command, cwd=directory, env=path | variables, check=True, capture_output=True, text=True
            )
            self.assertEqual(
                made.stdout.split(),
                "sam deploy --config-env prod --parameter-overrides A=1 B=2 --no-resolve-s3 --s3-bucket artifacts "
                "--role-arn arn:aws:iam::1:role/stack --signing-profiles Worker=profile".split(),
            )
            self.assertFalse(Path(directory, ".tools").exists())

    def test_a_deployment_runs_only_that_command(self):
        commands = [step["run"] for job, step in STEPS if job == "deploy.deploy" and "run" in step]
        expected = ['.ci/refuse-older "$ENVIRONMENT"', "chmod +x .aws-sam/build/Worker/bootstrap"]
        self.assertEqual(commands, [*expected, 'make deploy-built ENV="$ENVIRONMENT"'])


class Artifacts(unittest.TestCase):
    def test_the_deployed_function_was_built_and_tested_on_a_machine_with_its_processor(self):
        artifact = WORKFLOWS["ci"]["jobs"]["artifact"]
        runners = {i["architecture"]: i["runner"] for i in artifact["strategy"]["matrix"]["include"]}
        self.assertEqual(runners, {"x86_64": "ubuntu-24.04", "arm64": "ubuntu-24.04-arm"})
        self.assertIn("make artifact PGO=1", [step.get("run") for step in artifact["steps"]])
        uploaded = [step["with"]["name"] for step in artifact["steps"] if "upload-artifact" in step.get("uses", "")]
        self.assertIn("build-${{ matrix.architecture }}", uploaded)
        (deployed,) = [step for job, step in STEPS if "download-artifact" in step.get("uses", "") and "deploy" in job]
        self.assertEqual(deployed["with"]["name"], "build-arm64")
        self.assertIn("artifact", WORKFLOWS["ci"]["jobs"]["deploy-dev"]["needs"])
        self.assertIn("test", WORKFLOWS["ci"]["jobs"]["deploy-dev"]["needs"])


    def test_a_release_is_published_only_after_all_tests_and_is_built_without_a_cache(self):
        jobs = WORKFLOWS["release"]["jobs"]
        self.assertEqual(jobs["publish"]["needs"], ["test", "package"])
        self.assertIn(".ci/run", [step.get("run") for step in jobs["test"]["steps"]])
        self.assertIn('make package PGO=1 TAG="$GITHUB_REF_NAME"', [step.get("run") for step in jobs["package"]["steps"]])
        self.assertNotIn("cache@", SOURCES["release"])
        self.assertEqual(jobs["package"]["strategy"], WORKFLOWS["ci"]["jobs"]["artifact"]["strategy"])

    def test_each_published_file_is_attested_and_each_program_with_its_list_of_crates(self):
        steps = WORKFLOWS["release"]["jobs"]["publish"]["steps"]
        attested = [step["with"] for step in steps if step.get("uses", "").startswith("actions/attest@")]
        self.assertEqual(attested[0], {"subject-checksums": "dist/SHA256SUMS"})
        programs = [("reservation-worker", "zip"), ("dead-letters", "tar.gz")]
        expected = [
            {
                "subject-path": f"dist/{program}-*-{architecture}.{kind}",
                "sbom-path": f"dist/{program}-{architecture}.cdx.json",
            }
            for program, kind in programs
            for architecture in ("x86_64", "arm64")
        ]
        self.assertEqual(attested[1:], expected)

    def test_the_checksums_cover_each_file(self):
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(ROOT / "Makefile", directory)
            dist = Path(directory, "dist")
            dist.mkdir()
            for name in ("a.zip", "b.cdx.json"):
                dist.joinpath(name).write_text(name)
            for _ in range(2):
                subprocess.run(["make", "--silent", "checksums"], cwd=directory, check=True)
            listed = dist.joinpath("SHA256SUMS").read_text().splitlines()
            self.assertEqual([line.split()[1] for line in listed], ["a.zip", "b.cdx.json"])
            subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True)


class LateApproval(unittest.TestCase):
    """`.ci/refuse-older` in a clone with three commits, whose deployments a program named `gh` lists."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.clone = Path(directory.name)
        self.git("init", "--quiet")
        for message in ("oldest", "middle", "newest"):
            identity = ("-c", "user.name=a", "-c", "user.email=a@b")
            self.git(*identity, "commit", "--quiet", "--allow-empty", "--message", message)
        self.newest, self.middle, self.oldest = self.git("log", "--format=%H").split()

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.clone, check=True, capture_output=True, text=True).stdout

    def check(self, head, deployments):
        """Runs the script at the commit `head`. `deployments` are pairs of a commit and its state."""
        listed = "".join(f"{n} {sha}\n" for n, (sha, _) in enumerate(deployments))
        states = "".join(f"*/{n}/statuses*) echo {state};;\n" for n, (_, state) in enumerate(deployments))
        gh = self.clone / "gh"
        gh.write_text(f'#!/bin/sh\ncase "$2" in\n{states}*environment=prod-approval*) printf "{listed}";;\nesac\n')
        gh.chmod(0o755)
        self.git("checkout", "--quiet", head)
        variables = {"PATH": f"{self.clone}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "o/r"}
        command = [ROOT / ".ci/refuse-older", "prod-approval"]
        return subprocess.run(command, cwd=self.clone, env=variables, capture_output=True, text=True)

    def test_an_approval_is_refused_if_a_newer_commit_has_been_approved(self):
        refused = self.check(self.middle, [(self.newest, "success"), (self.oldest, "success")])
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"{self.newest} is newer", refused.stderr)

    def test_an_approval_is_accepted_if_newer_commits_only_wait_and_older_ones_have_been_approved(self):
        deployments = [(self.newest, "waiting"), (self.middle, "in_progress"), (self.oldest, "success")]
        self.assertEqual(self.check(self.middle, deployments).returncode, 0)

    def test_the_first_approval_is_accepted(self):
        self.assertEqual(self.check(self.newest, []).returncode, 0)

    def test_a_commit_can_be_approved_again(self):
        self.assertEqual(self.check(self.newest, [(self.newest, "success")]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
