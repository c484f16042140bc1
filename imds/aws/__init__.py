"""AWS: credential sources, STS and its errors. Nothing outside this package knows botocore.

Importing botocore costs more than everything else at start, so the daemon imports ``imds.aws.issuers`` in a thread
once it listens; ``imds.aws.environment`` alone is free of it.
"""
