# The life of the service on a machine of its own, as its users live it; every line NAME=VALUE is for the test.
imds=/opt/imds/bin/imds
base=http://169.254.169.254/latest
as() { runuser -u "$1" -- "${@:2}"; }
ask() { as "$1" curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "${@:2}"; }
token() { ask "$1" -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "${2:-$base}/api/token"; }
get() {
    given=$(as "$1" curl -s --max-time 20 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "${3:-$base}/api/token")
    as "$1" curl -s --max-time 20 -H "X-aws-ec2-metadata-token: $given" "${3:-$base}/$2"
}
key() { get "$1" "meta-data/iam/security-credentials/$2" | grep -o 'ASIA[A-Z0-9]*'; }
sessions() { $imds status --json "$@" | tr -d ' \n' | grep -o '"sessions":{[^}]*}'; }
role() { get "$1" meta-data/iam/security-credentials/ "$2"; }
say() { echo "$1=$2"; }
tell() { echo "$1=$(tr '\n' '|')"; }
state() { systemctl show --property="$2" --value "$1"; }
tree() { # every path that a service might leave something in, with owner, mode and content
    find /etc /home /opt /usr/local/bin /usr/local/lib/systemd /usr/lib/systemd /run/imds* -xdev \
        \( -name __pycache__ -o -path /opt/given \) -prune -o -printf '%p %y %m %u:%g %l\n' 2>/dev/null | sort
    find /var/lib /var/cache /var/log -maxdepth 1 -mindepth 1 ! -path /var/lib/private -printf '%p\n' | sort
    find /etc/systemd /etc/imds /home -type f -exec sha256sum {} + | sort
}
load() { (while [ ! -e /run/enough ]; do token dev; echo; done >"/run/codes-$1") & }
unload() {
    touch /run/enough && wait $! && rm /run/enough
    say "$1" "$(sort -u "/run/codes-$1" | tr '\n' ' ')$([ "$(wc -l <"/run/codes-$1")" -gt 10 ] && echo enough)"
    rm "/run/codes-$1"
}

mv /etc/imds/config.yaml /root/config.yaml
chmod 700 /home/dev
rmdir /etc/systemd/system/sockets.target.wants 2>/dev/null    # systemctl disable removes an empty one
tree >/root/before
# who may not, and where it may not be
as dev $imds service install --for dev 2>&1 | tell no_root
/usr/bin/python3 -m venv --without-pip /home/dev/venv
PYTHONPATH=$(echo /opt/imds/lib/python3*/site-packages) /home/dev/venv/bin/python -m imds service install 2>&1 | tell in_a_home
rm -r /home/dev/venv
$imds service status | tell not_installed
$imds service install --dry-run >/root/dry
tree | diff /root/before - | grep '^[<>]' | tell dry_run

# the machine's service
$imds service install 2>&1 | tell no_config
say not_started "$(systemctl is-enabled imds.socket) $(systemctl is-active imds.socket)"
$imds service status >/root/status; say no_config_status $?
tail -n 1 /root/status | tell no_config_next
cp /root/config.yaml /etc/imds/config.yaml
$imds service install 2>&1 | tell installed
say before "$(state imds.service ActiveState)"
say addresses "$(ip -o address show dev lo | grep -cE '169\.254\.169\.254|fd00:ec2::254')"
say guard "$(nft list table inet imds | grep -c drop)"
say first "$(token dev)"
say after "$(state imds.service ActiveState)"
systemctl start imds.service    # waits until it is ready
say status "$(state imds.service StatusText)"
say user "$(state imds.service User) $(state imds.service DynamicUser)"
say role "$(role dev)"
say stranger "$(token other)"
say root "$(token root)"
say v6 "$(ask dev -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' 'http://[fd00:ec2::254]/latest/api/token')"
say signature "$(get dev dynamic/instance-identity/signature | tr -d '\n' | base64 -d | wc -c)"
say identity "$(stat -c %a /var/lib/imds/identity.json)"
say control "$(stat -L -c %a /run/imds/control.sock)"
say asked "$($imds status --json | grep -o '"app"' | head -1)"
$imds service install 2>&1 | tell again
$imds service status; say well $?
$imds service status --json | /usr/bin/python3 -c 'import json, sys; told = json.load(sys.stdin)
print(told["stale"], told["next"], [unit["active"] for unit in told["units"]])' | tell json

say kept "$(sessions)"
say descriptors "$(state imds.service NFileDescriptorStore)"
say key "$(key dev app)"
load restarts
for _ in 1 2 3; do systemctl restart imds.service; done
unload restarts
say key_restarted "$(key dev app)"
say restored "$(sessions)"
systemctl reset-failed imds.service    # systemd counts the starts of ten seconds, those by hand too
kill -9 "$(state imds.service MainPID)"
say key_killed "$(key dev app)"
systemctl start imds.service
say descriptors_after "$(state imds.service NFileDescriptorStore)"
say on_disk "$(grep -rl neverlogthis /var/lib/private/imds /var/lib/imds /run/imds | wc -l)"

systemctl reload imds.service
for _ in $(seq 100); do [ "$(state imds.service ActiveState)" = reloading ] || break; sleep 0.1; done
say reloaded "$(state imds.service ActiveState) $(state imds.service Result)"

systemctl reset-failed imds.service
pid=$(state imds.service MainPID)
kill -STOP "$pid"    # the watchdog's business
say watched "$(token dev)"
say replaced "$([ "$(state imds.service MainPID)" != "$pid" ] && echo yes) $(state imds.service NRestarts)"

# an upgrade in place: the same program is a newer one
version=$(echo /opt/imds/lib/python3*/site-packages/imds/__init__.py)
cp "$version" /root/version && sed -i 's/^__version__.*/__version__ = "99.0"/' "$version"
$imds service install 2>&1 | tell newer
$imds service status | tail -n 1 | tell newer_next
cp /root/version "$version"

# another upgrade: the program is elsewhere, a unit is an old one
/usr/bin/python3 -m venv --without-pip /opt/new
echo /opt/imds/lib/python3*/site-packages >"$(echo /opt/new/lib/python3*/site-packages)/imds.pth"
new="/opt/new/bin/python -P -m imds"
pid=$(state imds.service MainPID)
$new service status | tail -n 1 | tell stale
$new service install 2>&1 | tell upgraded
say untouched "$([ "$(state imds.service MainPID)" = "$pid" ] && echo yes) $(state imds.service NeedDaemonReload)"
load upgrade
$new service install --restart >/dev/null
unload upgrade
say moved "$(readlink "/proc/$(state imds.service MainPID)/exe" | grep -c python) $(tr '\0' ' ' <"/proc/$(state imds.service MainPID)/cmdline")"
rm -r /opt/new
load gone
$imds service install 2>&1 | tell program_gone
unload gone
say moved_back "$(tr '\0' ' ' <"/proc/$(state imds.service MainPID)/cmdline")"
echo 'TimeoutStopSec=11' >>/etc/systemd/system/imds.service
$imds service install >/root/changed 2>&1; say changed_status $?
tell changed </root/changed
$imds service install --force 2>&1 | tell forced
echo 'roles: {' >>/etc/imds/config.yaml
$imds service install --restart 2>&1 | tell wrong_config
say still "$(token dev) $(state imds.service ActiveState)"
cp /root/config.yaml /etc/imds/config.yaml

# the configuration has become wrong meanwhile: the service cannot start, and in the end systemd closes the socket
systemctl stop imds.service
echo 'roles: {' >>/etc/imds/config.yaml
token dev >/dev/null
for _ in $(seq 200); do [ "$(state imds.socket ActiveState)" = failed ] && break; sleep 0.1; done
$imds service status | tail -n 2 | tell gave_up
cp /root/config.yaml /etc/imds/config.yaml
$imds service status | tail -n 1 | tell mended_next
$imds service install 2>&1 | tell mended
say mended_token "$(token dev)"

nft delete table inet imds    # whoever flushes the rules
rm /etc/imds/config.yaml
$imds service uninstall 2>&1 | tell uninstalled
say stopped "$(state imds.service ActiveState) $(state imds-address.service ActiveState)"
say left "$(ip -o address show dev lo | grep -cE '169\.254\.169\.254|fd00:ec2::254') $(ls -d /run/imds 2>/dev/null)"
say listening "$(ss -Hlnt | grep -cE ':(80|9254) ')"
tree | diff /root/before - | grep '^[<>]' | tell remains

# the service of one user
$imds service install --for dev >/dev/null
say own "$(token dev)"
systemctl start imds@dev.service
say own_status "$(state imds@dev.service StatusText)"
say own_role "$(role dev)"
say own_stranger "$(token other)"
say own_signature "$(get dev dynamic/instance-identity/signature | tr -d '\n' | base64 -d | wc -c)"
as other $imds service status >/root/others 2>&1; say others_status $?
as other $imds service install --for dev --dry-run >>/root/others 2>&1; say others_dry_run $?
tail -n 3 /root/others >&2
pid=$(state imds@dev.service MainPID)
say own_key "$(key dev default)"
say homes "$(nsenter --target "$pid" --mount ls /home | tr '\n' ' ')"
say inside "$(nsenter --target "$pid" --mount ls -A /home/dev | tr '\n' ' ')"
say writable "$(nsenter --target "$pid" --mount runuser -u dev -- touch /home/dev/.aws/x 2>/dev/null && echo yes)"
say own_control "$(as dev env -u XDG_RUNTIME_DIR USER=dev $imds status --json | grep -c default)"
kill -9 "$pid"
say own_again "$(token dev)"
say own_key_again "$(key dev default)"
systemctl start imds@dev.service
say own_sessions "$(sessions --socket /run/imds-dev/control.sock)"
$imds service install 2>&1 | tell own_again_installed
# somebody with a home elsewhere takes over
useradd --create-home --home-dir /srv/elsewhere far
cp -r /home/dev/.aws /srv/elsewhere/.aws && chown -R far: /srv/elsewhere
$imds service install --for far 2>&1 | tell handed_on

systemctl start imds@far.service    # waits until it is ready
say far "$(token far) $(token dev) $(role far)"
$imds service uninstall >/dev/null 2>&1
say own_left "$(ip -o address show dev lo | grep -c 169.254.169.254) $(ls -d /run/imds* /var/lib/imds* 2>/dev/null | tr '\n' ' ')"
nft list table inet imds >/dev/null 2>&1 && say guard_left yes
tree | diff /root/before - | grep -vE ' /etc/(passwd|group|g?shadow|sub[ug]id)-? | /srv/' | grep '^[<>]' | tell own_remains

# the sockets a hop away, as the documentation has it
$imds service install --for dev >/dev/null
systemctl stop imds.socket imds@dev.service; systemctl stop imds-address.service
cp /opt/given/faithful.service /etc/systemd/system/imds-address.service
mkdir -p /etc/systemd/system/imds.socket.d && cp /opt/given/faithful.conf /etc/systemd/system/imds.socket.d/
systemctl daemon-reload && systemctl start imds.socket
say hop "$(ip route get 169.254.169.254 | grep -o 'dev imds0')"
say hop_own "$(token dev)"
systemctl start imds@dev.service
say hop_role "$(role dev)"
as dev env IMDS_CONTROL_SOCKET=/run/imds-dev/control.sock $imds env --shell dotenv >/run/variables
say hop_exec "$(grep -c http://169.254.170.2 /run/variables)"
say hop_stranger "$(token other)"
say hop_topology "$($imds address status | grep -c 'topology *faithful')"
systemctl stop imds.socket imds@dev.service; systemctl stop imds-address.service
say hop_left "$(ip netns list | wc -l) $(ip -o link show | grep -c imds0) $(nft list tables | grep -c imds)"
rm /etc/systemd/system/imds.socket.d/faithful.conf
$imds service install --force >/dev/null && $imds service uninstall >/dev/null 2>&1

# the units of a user's own manager
loginctl enable-linger dev
systemctl start "user@$(id -u dev).service"
own() { as dev env "XDG_RUNTIME_DIR=/run/user/$(id -u dev)" "$@"; }
tree >/root/before
own systemctl --user set-environment "$(cat /opt/given/sts)" AWS_REGION=eu-west-1 AWS_EC2_METADATA_DISABLED=true
/usr/bin/python3 -m http.server --bind 127.0.0.1 9254 >/dev/null 2>&1 & other=$!
until ss -Hlnt | grep -q ':9254 '; do :; done
as dev $imds service install --user 2>&1 | tell user_taken
kill $other; wait $other 2>/dev/null
as dev $imds service install --user 2>&1 | tell user_installed
loopback=http://127.0.0.1:9254/latest
say user_first "$(token dev $loopback)"
own systemctl --user start imds.service
say user_role "$(role dev $loopback)"
say user_stranger "$(token other $loopback)"
as dev $imds service status --user; say user_well $?
say user_sees "$(as dev $imds explain --socket "/run/user/$(id -u dev)/imds/control.sock" --pid "$(own systemctl --user show --property=MainPID --value imds.service)" | grep -c exe)"
# a leased command in a scope of that manager
install -Dm600 -o dev -g dev /opt/given/leasing.yaml /home/dev/.config/imds/config.yaml
own systemctl --user restart imds.service
lease() { own $imds lease app -- "$@" 2>/dev/null; }
say scope "$(lease grep ^0:: /proc/self/cgroup)"
lease sh -c 'exit 7'
say scope_status $?
export CODE='curl -s -o /dev/null -w %{http_code} -H' BASE=$loopback
say scope_lease "$(lease sh -c '
    $CODE "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" "$AWS_CONTAINER_CREDENTIALS_FULL_URI"')"
say scope_role "$(lease sh -c '
    token=$(curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" $BASE/api/token)
    $CODE "X-aws-ec2-metadata-token: $token" $BASE/meta-data/iam/security-credentials/')"
say scope_outside "$(role dev $loopback)"
rm -r /home/dev/.config/imds

SUDO_USER=dev $imds service install --user 2>&1 | tell user_by_sudo
as dev $imds service uninstall --user 2>&1 | tell user_uninstalled
rm -r /home/dev/.local
tree | diff /root/before - | grep '^[<>]' | tell user_remains

say failed "$(systemctl --failed --no-legend --plain | grep -o 'imds[^ ]*' | tr '\n' ' ')"
journalctl --no-pager --output=cat | grep -iE 'imds|Traceback|secret' | sed 's/^/log: /'
