"""Writes the parameters of each environment of samconfig.toml, with the parameters Release and Version, to a file.

Usage: parameters.py BOOTSTRAP DIRECTORY, which writes DIRECTORY/parameters.dev and so on.

SAM publishes a new version of the function only when its code changes. Release is a hash of the code, the
template and the parameters, so that a change of any of them publishes a new version. Version is from Cargo.toml."""

import hashlib
import sys
from pathlib import Path

import tomlkit

bootstrap, directory = map(Path, sys.argv[1:])
version = tomlkit.parse(Path("Cargo.toml").read_text())["workspace"]["package"]["version"]
code = [bootstrap.read_bytes(), Path("template.yaml").read_bytes()]
config = tomlkit.parse(Path("samconfig.toml").read_text())
del config["version"]
for environment, commands in config.items():
    parameters = commands["deploy"]["parameters"]["parameter_overrides"]
    parameters = [parameter for parameter in parameters if not parameter.startswith(("Release=", "Version="))]
    parameters.append(f"Version={version}")
    release = hashlib.sha256(b"\0".join(code + [parameter.encode() for parameter in parameters])).hexdigest()
    (directory / f"parameters.{environment}").write_text(" ".join([*parameters, f"Release={release}"]) + "\n")
