"""What the tests share: fakes, processes, emulators, namespaces."""
