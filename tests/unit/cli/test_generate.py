"""
`rotator generate`: a secret, made on the spot.
"""

import json
import re

from tests.support.command_line import CommandLine


def test_a_secret_is_256_bits_in_hexadecimal(rotator: CommandLine) -> None:
    """Another one each time, and without a configuration."""
    rotator.config.unlink()
    first, second = rotator.run("generate"), rotator.run("generate")
    assert (first.code, first.stderr) == (0, "")
    assert re.fullmatch(r"[0-9a-f]{64}\n", first.stdout)
    assert first.stdout != second.stdout


def test_programs_get_json(rotator: CommandLine) -> None:
    """With the number of bits."""
    told = json.loads(rotator.run("generate", "--output", "json").stdout)
    assert told["bits"] == 256
    assert re.fullmatch(r"[0-9a-f]{64}", told["secret"])
