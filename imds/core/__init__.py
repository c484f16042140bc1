"""The pure heart: standard library only, and every moment is an argument."""
