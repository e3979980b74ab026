"""Prints the parameters of one environment of samconfig.toml, with the parameter Release.

Usage: parameters.py ENVIRONMENT BOOTSTRAP

SAM publishes a new version of the function only when its code changes. Release is a hash of the code, the
template and the parameters, so that a change of any of them publishes a new version."""

import hashlib
import sys
from pathlib import Path

import tomlkit

environment, bootstrap = sys.argv[1:]
config = tomlkit.parse(Path("samconfig.toml").read_text())
parameters = config[environment]["deploy"]["parameters"]["parameter_overrides"]
parameters = [parameter for parameter in parameters if not parameter.startswith("Release=")]
files = [Path(bootstrap).read_bytes(), Path("template.yaml").read_bytes()]
release = hashlib.sha256(b"\0".join(files + [parameter.encode() for parameter in parameters])).hexdigest()
print(*parameters, f"Release={release}")
