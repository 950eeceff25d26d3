"""
The configuration: a TOML file and the environment become frozen settings.
"""
