"""The operating system: sockets, processes, systemd, files, the log."""
