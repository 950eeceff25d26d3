"""
The configuration: turns a TOML file and the environment into frozen settings.
"""
