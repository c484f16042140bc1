"""The configuration: YAML in, frozen values out, every mistake with its line."""
