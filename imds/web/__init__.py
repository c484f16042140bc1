"""HTTP: the metadata service, container credentials and the control socket. Nothing else knows aiohttp."""
