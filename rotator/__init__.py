"""
rotator keeps signing keys and shared secrets fresh without one token failing.

The layers: each line imports only from itself and from those below it. Contracts in pyproject.toml hold it so, and
docs/architecture.md explains it.

    cli                                what is typed and printed: a file for each command
    client, dev                        what services import; the whole life of a key on one machine
    daemon                             the waking job, listeners, health, systemd
    wiring, telemetry                  the composition root; logs and metrics
    commands, reconcile                what operators ask for; one keyset from load to save, in the order of effects
    adapters, config                   Vault, Redis, files and HTTP behind the ports; config.toml
    ports                              what the core asks of the world: protocols and nothing else
    documents, lifecycle               formats of what is stored and sent; the rules: decide, evolve, guard
    model, errors                      values; every error
"""

__version__ = "0.1.0"
