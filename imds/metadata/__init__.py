"""The metadata tree: pure functions from what is known of an instance to ``{path: text}``."""
