"""imds as a service of systemd or launchd: its units, as this package ships them, and the service managers."""
