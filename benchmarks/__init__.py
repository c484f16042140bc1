"""Figures of the daemon as ratios to reference servers that are measured in turn with it, in the same run."""
