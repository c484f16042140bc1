"""The AWS Common Runtime: its default credentials, its signature, its HTTP client; asks STS who it is."""

import os
import re
from urllib.parse import urlsplit

from awscrt import auth, http, io

region, endpoint = os.environ["AWS_REGION"], urlsplit(os.environ["AWS_ENDPOINT_URL_STS"])
bootstrap = io.ClientBootstrap.get_or_create_static_default()
signing = auth.AwsSigningConfig(
    algorithm=auth.AwsSigningAlgorithm.V4,
    signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
    credentials_provider=auth.AwsCredentialsProvider.new_default_chain(bootstrap),
    region=region,
    service="sts",
)
headers = http.HttpHeaders([("Host", endpoint.netloc), ("Content-Length", "0")])
request = http.HttpRequest("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", headers)
auth.aws_sign_request(request, signing).result(20)

received: list[bytes] = []
connection = http.HttpClientConnection.new(endpoint.hostname, endpoint.port, bootstrap).result(20)
stream = connection.request(request, on_body=lambda chunk, **_: received.append(bytes(chunk)))
stream.activate()
stream.completion_future.result(20)
answer = b"".join(received).decode()
arn = re.search("<Arn>(.+)</Arn>", answer)
print(arn[1] if arn else answer)
