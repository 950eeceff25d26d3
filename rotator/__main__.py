"""
`python -m rotator`: the command line.
"""

from rotator.cli import main

main()
