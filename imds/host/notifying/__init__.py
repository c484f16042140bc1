"""Channels of this host over which people are told: a program, the desktop, the journal."""
