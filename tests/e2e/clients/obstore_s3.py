"""obstore, which is object_store, a Rust library: writes an object and lists the bucket."""

import os
import sys

from obstore.store import S3Store

bucket, name = sys.argv[1:]
store = S3Store(
    bucket,
    region=os.environ["AWS_REGION"],
    endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
    virtual_hosted_style_request=False,
    client_options={"allow_http": True},
)
store.put(name, b"from Rust")
for entry in store.list().collect():
    print(entry["path"])
