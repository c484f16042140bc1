"""minio's Python client: writes an object and lists the bucket.

It knows no variable for the endpoint, only an argument.
"""

import io
import os
import sys
from urllib.parse import urlsplit

from minio import Minio
from minio.credentials import IamAwsProvider

bucket, name = sys.argv[1:]
client = Minio(
    endpoint=urlsplit(os.environ["AWS_ENDPOINT_URL_S3"]).netloc,
    secure=False,
    region=os.environ["AWS_REGION"],
    credentials=IamAwsProvider(custom_endpoint=os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")),
)
client.put_object(bucket, name, io.BytesIO(b"from minio"), length=10)
for entry in client.list_objects(bucket):
    print(entry.object_name)
