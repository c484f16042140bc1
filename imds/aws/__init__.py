"""AWS: credential sources, STS and its errors. Nothing outside this package knows botocore.

Importing botocore costs more than everything else at start, so the daemon imports what needs it in a thread once it
listens.
"""
