"""Writes a linker script that separates the functions that ran often in the training, and those that never ran, from
the rest.

Reads the output of `llvm-profdata show --all-functions --counts` from stdin, and writes the script to stdout. Without
the script, the linker mixes these functions, so that the system loads nearly all pages of the code.
"""

import re
import sys

# The name of a function, and how often each part of it ran. The name of a function that is not exported follows the
# name of a file.
FUNCTION = re.compile(r"^  (?:.*;)?([^;\s]+):\n(?:    .*\n)*?    Block counts: \[(.*)\]", re.MULTILINE)

ran, idle = set(), set()
for name, counts in FUNCTION.findall(sys.stdin.read()):
    (ran if re.search("[1-9]", counts) else idle).add(name)
if not ran:
    sys.exit("error: no function of the profile ran")
print("SECTIONS\n{\n  .text.hot : { *(.text.hot .text.hot.*) }\n  .text.idle :\n  {")
# A name can belong to several functions.
for name in sorted(idle - ran):
    print(f"    *(.text.{name} .text.unlikely.{name})")
print("  }\n}\nINSERT AFTER .text;")
