"""boto 2, which knows no session tokens: the whole tree, the identity and the user data."""

import json

from boto import utils

metadata = utils.get_instance_metadata(timeout=5, num_retries=1)
metadata._materialize()
identity = utils.get_instance_identity(timeout=5, num_retries=1)
user_data = utils.get_instance_userdata(timeout=5, num_retries=1)
print(json.dumps({"meta-data": metadata, "instance-identity": identity, "user-data": user_data}))
