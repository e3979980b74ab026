"""The parameters of one environment of samconfig.toml, and the release that they make with the code.

SAM publishes a version when the code changes, not when a parameter does; the release changes with either."""

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
