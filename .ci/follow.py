"""Runs the ```bash and ```python blocks of a Markdown file, each in a process of its own."""

import re
import subprocess
import sys

text = open(sys.argv[1], encoding="utf-8").read()
blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
assert blocks, "the guide has no blocks"
for number, (language, code) in enumerate(blocks, 1):
    print(f"-- block {number}: {language}\n{code}", flush=True)
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else ["python", "-c", code]
    subprocess.run(command, check=True, timeout=120)
print(f"{len(blocks)} blocks followed")
