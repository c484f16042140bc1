"""An EC2-style instance metadata service for your own machine."""

__version__ = "0.1.0"
