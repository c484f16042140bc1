"""cloud-init's EC2 data source: crawls, keeps what it found where the argument says, and prints what it makes of it."""

import json
import sys
from pathlib import Path

from cloudinit import distros, helpers, net
from cloudinit.sources.DataSourceEc2 import DataSourceEc2

folder = Path(sys.argv[1])
paths = helpers.Paths({"cloud_dir": str(folder / "cloud"), "run_dir": str(folder / "run")})
for made in ("cloud", "run"):
    (folder / made).mkdir()
source = DataSourceEc2({}, distros.fetch("debian")("debian", {}, paths), paths)
found = source.get_data()
told = {
    "found": found,
    "platform": source.cloud_name,
    "meta-data": source.metadata,
    "user-data": source.get_userdata_raw().decode(),
    "document": source.identity,
    "instance-id": source.get_instance_id(),
    "region": source.region,
    "availability-zone": source.availability_zone,
    "launch-index": source.launch_index,
    "hostname": source.get_hostname(fqdn=True),
    "public-keys": source.get_public_ssh_keys(),
    "root-device": source.device_name_to_device("root"),
    "network": source.network_config,
    "interfaces": net.get_interfaces_by_mac(),
}
print(json.dumps(told, default=str))
