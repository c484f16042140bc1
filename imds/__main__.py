"""``python -m imds`` is the command ``imds``."""

from imds.cli import main

if __name__ == "__main__":
    main()
