"""pyarrow's S3FileSystem, which is the AWS SDK for C++: writes an object and lists the bucket."""

import os
import sys
from urllib.parse import urlsplit

from pyarrow import fs

bucket, name = sys.argv[1:]
endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])
s3 = fs.S3FileSystem(region=os.environ["AWS_REGION"], scheme=endpoint.scheme, endpoint_override=endpoint.netloc)
with s3.open_output_stream(f"{bucket}/{name}") as out:
    out.write(b"from C++")
for entry in s3.get_file_info(fs.FileSelector(bucket)):
    print(entry.base_name)
