"""
Ask a recipe in Python, as a service would: each line `verify TOKEN` or `sign SUBJECT` of stdin gets one line back.
"""

import runpy
import sys

recipe = runpy.run_path(sys.argv[1])
for line in sys.stdin:
    verb, argument = line.split()
    try:
        result = recipe[verb](argument)
    except Exception as error:  # noqa: BLE001 - a refusal, whatever the library calls it
        print("refused", type(error).__name__, flush=True)
    else:
        print("ok", result if isinstance(result, str) else result["sub"], flush=True)
